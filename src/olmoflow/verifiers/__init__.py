"""Answers into scores, for evaluation and for reinforcement learning alike.

- verdict        what a verifier says of an answer, and what every verifier can do
- registry       verifiers by name
- math           mathematical equality, by math-verify and SymPy
- gsm8k          the last number counts
- code           programs run against their tests
- sandbox/       where programs run
- instructions/  IFEval and IFBench
- text_match     exact match and F1
- reasoning_gym  puzzles scored by reasoning-gym
- extraction     the answer in a text
- fences         blocks of code in a text
- normalization  answers brought into one spelling
- pool           judging in processes that may hang, crash or run out of memory
"""

from olmoflow.verifiers.registry import VERIFIERS, find_verifier
from olmoflow.verifiers.verdict import Answer, Outcome, Verdict, Verifier

__all__ = ["VERIFIERS", "Answer", "Outcome", "Verdict", "Verifier", "find_verifier"]
