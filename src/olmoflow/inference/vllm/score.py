"""Continuations scored: which prompts the server has to read, and what their answers say.

A reading is a prompt and tokens that may follow it. A continuation's last token is one that may
follow, so continuations that differ in it alone (the letters of a multiple-choice question) share
one reading, and vLLM's prefix cache has what it read before. The other tokens of a continuation are
part of the prompt; for their log-probabilities vLLM reads the whole prompt anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from olmoflow.errors import UserError
from olmoflow.inference.engine import Score, ScoreRequest
from olmoflow.inference.vllm.answers import Generated
from olmoflow.inference.vllm.sample import check_numbers

# Servers give at most 20 log-probabilities of a place unless they are started with more.
_TOKENS_OF_A_READING = 16


@dataclass(frozen=True)
class Reading:
    """A prompt to read.

    Attributes:
        prompt: The contexts and all of the continuations but the last token.
        start: Length of the context.
        last: The numbers of the requests by their last token.
    """

    prompt: tuple[int, ...]
    start: int
    last: dict[int, list[int]]

    def parameters(self) -> dict[str, Any]:
        """What vLLM calls ``sampling_params``."""
        # vLLM cuts as many log-probabilities as were asked for from a list that the sampled token
        # leads, so one more is asked for than needed.
        tokens = [*self.last, next(iter(self.last))]
        parameters: dict[str, Any] = {"temperature": 0.0, "max_tokens": 1, "ignore_eos": True}
        parameters |= {"logprob_token_ids": tokens, "logprobs": len(tokens)}
        if self.start < len(self.prompt):
            parameters["prompt_logprobs"] = 1
        return parameters


def readings(requests: Sequence[ScoreRequest]) -> list[Reading]:
    """The prompts to read for these requests, each once."""
    groups: dict[tuple[tuple[int, ...], int], dict[int, list[int]]] = {}
    for number, request in enumerate(requests):
        *most, last = request.continuation_ids
        key = (*request.context_ids, *most), len(request.context_ids)
        groups.setdefault(key, {}).setdefault(last, []).append(number)
    return [
        Reading(prompt, start, dict(part))
        for (prompt, start), last in groups.items()
        for part in _parts(list(last.items()))
    ]


def scores(reading: Reading, answer: Generated) -> Iterator[tuple[int, Score]]:
    """Each request's number and score.

    Raises:
        UserError: The model computes no numbers, or a log-probability is missing.
    """
    try:
        logprobs, greedy = _of_prompt(reading, answer)
        sampled = answer.choices[0].logprobs.content[0]
        last = {each.token_id: each.logprob for each in sampled.top_logprobs}
        for token, numbers in reading.last.items():
            score = Score([*logprobs, last[token]], greedy and last[token] >= sampled.logprob)
            for number in numbers:
                check_numbers(number, score.logprobs)
                yield number, score
    except LookupError:
        number = next(iter(reading.last.values()))[0]
        raise UserError(f"request {number}: the server left out a log-probability") from None


def _of_prompt(reading: Reading, answer: Generated) -> tuple[list[float], bool]:
    """Of the continuations' tokens but the last, and whether each is the likeliest."""
    logprobs, greedy = list[float](), True
    places = answer.prompt_logprobs or []
    for at in range(reading.start, len(reading.prompt)):
        place = {token: each.logprob for token, each in (places[at] or {}).items()}
        logprobs.append(place[reading.prompt[at]])
        # In bfloat16 several tokens are often the likeliest.
        greedy = greedy and logprobs[-1] >= max(place.values())
    return logprobs, greedy


def _parts(items: list[tuple[int, list[int]]]) -> Iterator[list[tuple[int, list[int]]]]:
    for first in range(0, len(items), _TOKENS_OF_A_READING):
        yield items[first : first + _TOKENS_OF_A_READING]
