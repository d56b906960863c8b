"""Scores of checkpoints.

- tasks           what is asked, and how answers are scored
- metrics         numbers from responses
- suites          trees of tasks, aggregated
- runner          tasks to requests, responses to scores and files
- comparison      two evaluations over the same questions; signal and noise of several
- in_loop         the model in training, scored where it stands
- scaling         laws fitted to a ladder of runs, and what they predict
- bits_per_byte   held-out text beside gzip and a unigram model
- scores          what a score is called in metrics; tracking, an evaluation in W&B
"""
