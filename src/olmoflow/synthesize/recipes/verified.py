"""Verified pairs: several answers to a prompt whose answer is known, one right and one wrong.

Of all right and all wrong answers the two that are nearest in length are taken: a model shall learn
what is right, not how long right answers are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from olmoflow.errors import UserError
from olmoflow.inference.chat import Answer, Failure
from olmoflow.synthesize.prompt import Prompt
from olmoflow.synthesize.recipe import Ask, Pair, Recipe, Removed, Spoken
from olmoflow.synthesize.recipes.delta_learning import STRONG, WEAK, no_answer
from olmoflow.verifiers.verdict import Answer as Claim
from olmoflow.verifiers.verdict import Verdict, Verifier


class _Judged(NamedTuple):
    speaker: str
    answer: Answer
    verdict: Verdict


@dataclass(frozen=True)
class Verified:
    """Makes the recipe of a prompt that has a reference.

    Args:
        verifier: Tells right from wrong.
        responses: Answers to a prompt.
        from_weak: How many of them the weak model gives.
        right_from: A score from which an answer is right.
        wrong_below: A score below which an answer is wrong.

    Raises:
        UserError: The numbers do not fit.
    """

    verifier: Verifier
    responses: int
    from_weak: int = 0
    right_from: float = 1.0
    wrong_below: float = 0.5

    steps = ("answers", "verify")

    def __post_init__(self) -> None:
        if not 0 <= self.from_weak <= self.responses or self.responses < 2:
            raise UserError(
                f"pipeline.responses={self.responses}, pipeline.from_weak={self.from_weak}: "
                "expected at least two responses, and no more of them from weak"
            )
        if not 0 <= self.wrong_below <= self.right_from <= 1:
            raise UserError(
                f"pipeline.wrong_below={self.wrong_below}, pipeline.right_from={self.right_from}: "
                "expected scores from 0 to 1, in this order"
            )

    def __call__(self, prompt: Prompt) -> Recipe:
        """Have the prompt answered several times and the answers verified."""
        count = self.responses - self.from_weak
        asks = [Ask(STRONG, prompt.messages, seed) for seed in range(count)]
        asks += [Ask(WEAK, prompt.messages, seed) for seed in range(self.from_weak)]
        replies = yield asks
        said = []
        for ask, reply in zip(asks, replies, strict=True):
            if isinstance(reply, Failure):
                return no_answer(prompt, ask.speaker, reply)
            said.append((ask.speaker, reply))
        verdicts = self.verifier.verify([Claim(r.text, prompt.reference) for _, r in said])
        judged = [_Judged(*each, verdict) for each, verdict in zip(said, verdicts, strict=True)]
        return self._pair(prompt, judged)

    def told(self) -> list[str]:
        """Nothing but the prompts."""
        return []

    def close(self) -> None:
        """End the verifier's processes."""
        self.verifier.close()

    def _pair(self, prompt: Prompt, judged: Sequence[_Judged]) -> Pair | Removed:
        told = [each for each in judged if each.verdict.outcome in ("scored", "no_answer")]
        right = [each for each in told if each.verdict.score >= self.right_from]
        wrong = [each for each in told if each.verdict.score < self.wrong_below]
        if not told:
            why = judged[0].verdict.detail or judged[0].verdict.outcome
            return Removed(prompt, "verify", "the verifier could not tell", why)
        if not right:
            return Removed(prompt, "verify", "no answer is right", told[0].answer.text)
        if not wrong:
            return Removed(prompt, "verify", "no answer is wrong", told[0].answer.text)
        chosen, rejected = min(
            product(right, wrong),
            key=lambda two: abs(len(two[0].answer.text) - len(two[1].answer.text)),
        )
        shares = {"right": len(right), "wrong": len(wrong), "answers": len(judged)}
        return Pair(
            prompt,
            prompt.messages,
            Spoken(chosen.speaker, chosen.answer, chosen.verdict.score),
            Spoken(rejected.speaker, rejected.answer, rejected.verdict.score),
            {"verified": shares},
        )
