"""Continuations scored by plain forward passes: rows of similar length, equal inputs once.

What a row of a batch is, and which of its logits say what of which request, is worked out here; a
model only has to return logits. Rows are padded on the right, where a causal model does not look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from olmoflow.errors import UserError
from olmoflow.inference.engine import Score, ScoreRequest


@dataclass
class _Row:
    """One input and the requests that it answers.

    Attributes:
        ids: Context and continuation but for its last token, which is never read.
        requests: Number of the request, and the place where its continuation is predicted first.
    """

    ids: tuple[int, ...]
    requests: list[tuple[int, int]] = field(default_factory=list)

    @property
    def first(self) -> int:
        """The first place whose prediction is wanted."""
        return min(place for _, place in self.requests)


@dataclass(frozen=True)
class ScoreBatch:
    """Rows that go through the model together.

    Attributes:
        input_ids: [B, T] int64, padded on the right with 0.
        lengths: Of the rows.
        rows: [M] row of each place whose prediction is wanted.
        places: [M] its place in the row.
        numbers: Requests answered, each with its number of continuation tokens, in this order.
        predictions: [K] which of the M predictions each token of these continuations is under.
        targets: [K] these tokens.
    """

    input_ids: Tensor
    lengths: list[int]
    rows: Tensor
    places: Tensor
    numbers: list[tuple[int, int]]
    predictions: Tensor
    targets: Tensor


LogitsOf = Callable[[ScoreBatch], Iterable[Tensor]]
"""The logits of a batch's M wanted places, [m, V] at a time, in their order."""


def score_batches(
    requests: Sequence[ScoreRequest], *, max_length: int, vocab_size: int, batch_tokens: int
) -> list[ScoreBatch]:
    """Batches for requests, the longest rows first.

    Args:
        requests: What is to be scored.
        max_length: Tokens of context and continuation, at most.
        vocab_size: Ids are below it.
        batch_tokens: Tokens of a batch, padding included; a longer row goes by itself.

    Raises:
        UserError: A request is empty, has ids that the model lacks, or is too long.
    """
    rows: dict[tuple[int, ...], _Row] = {}
    for number, request in enumerate(requests):
        check_request(request, max_length, vocab_size)
        ids = (*request.context_ids, *request.continuation_ids[:-1])
        row = rows.setdefault(ids, _Row(ids))
        row.requests.append((number, len(request.context_ids) - 1))
    ordered = sorted(rows.values(), key=lambda row: -len(row.ids))
    batches: list[list[_Row]] = []
    for row in ordered:
        if not batches or (len(batches[-1]) + 1) * len(batches[-1][0].ids) > batch_tokens:
            batches.append([])
        batches[-1].append(row)
    return [_batch(group, requests) for group in batches]


def read_scores(batch: ScoreBatch, logits: Iterable[Tensor]) -> Iterator[tuple[int, Score]]:
    """The scores of a batch's requests from its logits."""
    device = batch.targets.device
    logprobs = torch.empty(len(batch.targets), device=device)
    greedy = torch.empty(len(batch.targets), dtype=torch.bool, device=device)
    done = 0
    order = batch.predictions.argsort()
    sorted_predictions = batch.predictions[order]
    for chunk in logits:
        chunk = chunk.float().to(device)
        low, high = torch.searchsorted(
            sorted_predictions, torch.tensor([done, done + len(chunk)], device=device)
        ).tolist()
        which = order[low:high]
        place, target = batch.predictions[which] - done, batch.targets[which]
        logprobs[which] = chunk[place, target] - chunk.logsumexp(-1)[place]
        greedy[which] = chunk.argmax(-1)[place] == target
        done += len(chunk)
    start, values, likeliest = 0, logprobs.tolist(), greedy.tolist()
    for number, length in batch.numbers:
        part = slice(start, start + length)
        start = part.stop
        yield number, Score(values[part], all(likeliest[part]))


def check_request(request: ScoreRequest, max_length: int, vocab_size: int) -> None:
    """Raise a `UserError` for a request that a model cannot take."""
    length = len(request.context_ids) + len(request.continuation_ids)
    if not request.context_ids or not request.continuation_ids:
        raise UserError("score: a context or continuation without tokens; expected at least one")
    if length > max_length:
        raise UserError(f"score: {length} tokens found; expected at most {max_length}")
    for ids in (request.context_ids, request.continuation_ids):
        if min(ids) < 0 or max(ids) >= vocab_size:
            wrong = next(i for i in ids if not 0 <= i < vocab_size)
            raise UserError(f"score: id {wrong} found; expected ids from 0 to {vocab_size - 1}")


def _batch(group: Sequence[_Row], requests: Sequence[ScoreRequest]) -> ScoreBatch:
    input_ids = torch.zeros(len(group), len(group[0].ids), dtype=torch.int64)
    rows: list[int] = []
    places: list[int] = []
    numbers: list[tuple[int, int]] = []
    predictions: list[int] = []
    targets: list[int] = []
    for index, row in enumerate(group):
        length, first, before = len(row.ids), row.first, len(rows)
        input_ids[index, :length] = torch.tensor(row.ids)
        rows += [index] * (length - first)
        places += range(first, length)
        for number, place in row.requests:
            continuation = requests[number].continuation_ids
            numbers.append((number, len(continuation)))
            start = before + place - first
            predictions += range(start, start + len(continuation))
            targets += continuation
    return ScoreBatch(
        input_ids,
        [len(row.ids) for row in group],
        torch.tensor(rows),
        torch.tensor(places),
        numbers,
        torch.tensor(predictions),
        torch.tensor(targets),
    )
