"""Answers into scores, for evaluation and for reinforcement learning alike.

- verdict        what a verifier says of an answer, and what every verifier can do
"""

from olmoflow.verifiers.verdict import Answer, Outcome, Verdict, Verifier

__all__ = ["Answer", "Outcome", "Verdict", "Verifier"]
