"""What is asked of a model, and how its answers are scored.

- task        the contract of a task: instances, requests, responses, scores
"""
