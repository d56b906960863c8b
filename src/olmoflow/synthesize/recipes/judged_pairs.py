"""Judged pairs: several models answer, and a judge says which answer is the best and the worst.

Of the answers to a prompt a fixed number comes from weak models. If all were good, best and worst
would be nearly the same, and their difference would teach nothing (Olmo 3 report, preference data
of the Instruct models: four answers, exactly two of them from the weak pool).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from olmoflow.errors import UserError
from olmoflow.inference.chat import Answer, Failure, Reply, Unaskable
from olmoflow.synthesize.instruction import Instruction, transcript
from olmoflow.synthesize.judge import read_preference, read_scores
from olmoflow.synthesize.prompt import Prompt, draw
from olmoflow.synthesize.recipe import Ask, Pair, Recipe, Removed, Spoken
from olmoflow.synthesize.recipes.delta_learning import no_answer
from olmoflow.verifiers.extraction import without_thinking

JUDGE = "judge"
SCORES = {"conversation", "answer"}
PREFERENCE = {"conversation", "answers"}


class _Said(NamedTuple):
    speaker: str
    answer: Answer


@dataclass(frozen=True)
class JudgedPairs:
    """Makes the recipe of a prompt.

    Args:
        strong: The strong pool.
        weak: The weak pool.
        responses: Answers to a prompt.
        from_weak: How many of them come from the weak pool.
        instruction: What the judge is told: with the blank ``$answer`` it scores one answer at a
            time, with ``$answers`` it compares all of them.
        aspects: What is scored; the mean counts.
        attempts: How often a judge is asked whose words hold no verdict.
        both_orders: Of a comparison: ask once more with the answers in reverse, and keep the pair
            only where the judge names the same two.
        min_margin: Of scores: the best must exceed the worst by more.
        seed: Of the choice of models and the order of answers.

    Raises:
        UserError: The numbers do not fit.
    """

    strong: Sequence[str]
    weak: Sequence[str]
    responses: int
    from_weak: int
    instruction: Instruction
    aspects: Sequence[str] = ()
    attempts: int = 2
    both_orders: bool = False
    min_margin: float = 0.0
    seed: int = 0

    steps = ("answers", "judge")

    def __post_init__(self) -> None:
        if not 0 <= self.from_weak <= self.responses or self.responses < 2:
            raise UserError(
                f"pipeline.responses={self.responses}, pipeline.from_weak={self.from_weak}: "
                "expected at least two responses, and no more of them from the weak pool"
            )
        if self.attempts < 1:
            raise UserError(f"pipeline.attempts={self.attempts}: expected at least 1")
        if "answer" in self.instruction.blanks() and not self.aspects:
            raise UserError("pipeline.aspects=[]: expected the names of what the judge scores")

    def __call__(self, prompt: Prompt) -> Recipe:
        """Ask the models, then the judge."""
        asks = self.asks(prompt)
        replies = yield asks
        said: list[_Said] = []
        for ask, reply in zip(asks, replies, strict=True):
            if isinstance(reply, Failure):
                return no_answer(prompt, ask.speaker, reply)
            said.append(_Said(ask.speaker, reply))
        if "answer" in self.instruction.blanks():
            return (yield from self._by_scores(prompt, said))
        return (yield from self._by_preference(prompt, said))

    def told(self) -> list[str]:
        """What the judge is told."""
        return [self.instruction.text]

    def close(self) -> None:
        """Nothing was started."""

    def asks(self, prompt: Prompt) -> list[Ask]:
        """Who is asked: the weak first, each pool in an order drawn for this prompt."""
        found: list[Ask] = []
        for pool, count in (
            (self.weak, self.from_weak),
            (self.strong, self.responses - self.from_weak),
        ):
            order = sorted(pool, key=lambda name: draw(self.seed, f"pool/{name}", prompt.digest))
            # A pool that is smaller than its share answers again, with another seed.
            found += [
                Ask(order[k % len(order)], prompt.messages, k // len(order)) for k in range(count)
            ]
        return found

    def _by_scores(self, prompt: Prompt, said: Sequence[_Said]) -> Recipe:
        conversation = transcript(prompt.messages)
        open_ = dict(enumerate(said))
        scored: dict[int, dict[str, float]] = {}
        last: Reply = Failure("never asked")
        for attempt in range(self.attempts):
            asks = [
                Ask(JUDGE, self.instruction.fill(conversation=conversation, answer=text), attempt)
                for text in (without_thinking(each.answer.text) for each in open_.values())
            ]
            replies = yield asks
            for place, reply in zip(list(open_), replies, strict=True):
                if isinstance(reply, Unaskable):  # nor will it be the next time
                    return _no_verdict(prompt, reply, "score", said[place].answer.text)
                scores = None
                if isinstance(reply, Answer):
                    scores = read_scores(reply.text, self.aspects)
                if scores is None:
                    last = reply
                else:
                    scored[place] = dict(scores)
                    del open_[place]
            if not open_:
                break
        else:
            return _no_verdict(prompt, last, "score")
        means = [sum(scored[n].values()) / len(self.aspects) for n in range(len(said))]
        # Of equals the strong one is chosen and the weak one rejected: the weak come first.
        best = max(range(len(said)), key=lambda n: (means[n], n))
        worst = min(range(len(said)), key=lambda n: (means[n], n))
        if means[best] - means[worst] <= self.min_margin:
            return _unjudged(prompt, "best and worst score alike", f"{means[best]:g}")
        return self._pair(prompt, said, best, worst, means, [scored[n] for n in range(len(said))])

    def _by_preference(self, prompt: Prompt, said: Sequence[_Said]) -> Recipe:
        order = sorted(range(len(said)), key=lambda n: draw(self.seed, f"order/{n}", prompt.digest))
        verdicts: set[tuple[int, int]] = set()
        for places in (order, order[::-1]) if self.both_orders else (order,):
            found: tuple[int, int] | None = None
            asked = self.instruction.fill(
                conversation=transcript(prompt.messages),
                answers="\n\n".join(
                    f"=== Answer {k} ===\n{without_thinking(said[n].answer.text)}"
                    for k, n in enumerate(places, start=1)
                ),
            )
            for attempt in range(self.attempts):
                (reply,) = yield [Ask(JUDGE, asked, attempt)]
                if isinstance(reply, Answer):
                    found = read_preference(reply.text, len(said))
                if found is not None or isinstance(reply, Unaskable):
                    break
            if found is None:
                return _no_verdict(prompt, reply, "preference", prompt.messages[-1].content)
            verdicts.add((places[found[0]], places[found[1]]))
        if len(verdicts) > 1:
            return _unjudged(prompt, "the judge changes its mind with the order", str(verdicts))
        ((best, worst),) = verdicts
        return self._pair(prompt, said, best, worst, [None] * len(said), [])

    def _pair(
        self,
        prompt: Prompt,
        said: Sequence[_Said],
        best: int,
        worst: int,
        means: Sequence[float | None],
        scores: Sequence[dict[str, float]],
    ) -> Pair:
        pool = [each.speaker for each in said]
        metadata = {"pool": pool, **({"scores": list(scores)} if scores else {})}
        return Pair(
            prompt,
            prompt.messages,
            Spoken(said[best].speaker, said[best].answer, means[best]),
            Spoken(said[worst].speaker, said[worst].answer, means[worst]),
            metadata,
        )


def _no_verdict(prompt: Prompt, reply: Reply, verdict: str, asked: str = "") -> Removed:
    """Why there is none: the judge could not be asked, did not answer, or said nothing of use.

    Args:
        prompt: Whose answers were to be judged.
        reply: The judge's last.
        verdict: What was to be read out of it.
        asked: What it was asked about, to be shown where it could not be.
    """
    if isinstance(reply, Unaskable):
        return _unjudged(prompt, f"the judge cannot be asked: {reply.reason}", asked)
    if isinstance(reply, Failure):
        return _unjudged(prompt, f"no answer from {JUDGE}", reply.reason)
    return _unjudged(prompt, f"no {verdict} in what the judge says", reply.text)


def _unjudged(prompt: Prompt, reason: str, shown: str) -> Removed:
    return Removed(prompt, "judge", reason, shown)
