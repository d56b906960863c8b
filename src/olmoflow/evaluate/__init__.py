"""Scores of checkpoints.

- tasks           what is asked, and how answers are scored
- metrics         numbers from responses
- suites          trees of tasks, aggregated
- bits_per_byte   held-out text beside gzip and a unigram model
"""
