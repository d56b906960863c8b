"""Scores from the model that is being trained, sharded or not, where it stands.

The ranks share the batches. Every forward pass of a sharded model gathers its weights from all
ranks, so all of them make the same number of passes; who has no batch left repeats one and throws
the result away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from olmoflow.inference.engine import Score, ScoreRequest
from olmoflow.inference.scoring import ScoreBatch, read_scores, score_batches
from olmoflow.model import Olmo3

# Predictions whose logits exist at a time.
_CHUNK = 1024


class TrainingScorer:
    """Scores continuations with a model in training.

    Args:
        model: On its device, on every rank.
        batch_tokens: Tokens of a forward pass, padding included.
        world: Ranks that share the work; all of them must call `score` alike.
        rank: This one.
        vocab_size: Ids of tokens are below it, and further rows only pad the embedding: they have
            no share in any probability. None: the model's rows.
    """

    def __init__(
        self,
        model: Olmo3,
        *,
        batch_tokens: int,
        world: int = 1,
        rank: int = 0,
        vocab_size: int | None = None,
    ) -> None:
        self.model, self.batch_tokens = model, batch_tokens
        self.world, self.rank = world, rank
        self.max_length = model.config.max_sequence_length
        self.vocab_size = vocab_size or model.config.vocab_size

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Score]]:
        """Log-probabilities of continuations, of all requests on every rank."""
        batches = score_batches(
            requests,
            max_length=self.max_length,
            vocab_size=self.vocab_size,
            batch_tokens=self.batch_tokens,
        )
        own = batches[self.rank :: self.world]
        passes = -(-len(batches) // self.world)
        found: list[tuple[int, Score]] = []
        with evaluating(self.model):
            for number in range(passes):
                found += self._pass(own[number] if number < len(own) else None, batches[0])
        yield from self._gathered(found)

    @torch.no_grad()
    def _pass(self, batch: ScoreBatch | None, other: ScoreBatch) -> list[tuple[int, Score]]:
        scores = list(read_scores(batch or other, self._logits(batch or other)))
        return scores if batch is not None else []

    def _logits(self, batch: ScoreBatch) -> Iterator[Tensor]:
        device = next(self.model.parameters()).device
        hidden = self.model.hidden_states(batch.input_ids.to(device))
        wanted = hidden[batch.rows.to(device), batch.places.to(device)]  # [M, d_model]
        for chunk in torch.split(wanted, _CHUNK):
            yield self.model.lm_head(chunk)[:, : self.vocab_size]

    def _gathered(self, found: list[tuple[int, Score]]) -> list[tuple[int, Score]]:
        if self.world == 1:
            return found
        parts: list[list[tuple[int, Score]]] = [[] for _ in range(self.world)]
        dist.all_gather_object(parts, found)
        return [each for part in parts for each in part]


@contextmanager
def evaluating(model: Olmo3) -> Iterator[None]:
    """Within, the model is in evaluation mode, reads whole sequences and runs uncompiled.

    Ranks that share sequences in training read them whole here. Lengths vary from batch to batch,
    for each of which a compiled block would be compiled anew.
    """
    training, context = model.training, model.context
    model.eval()
    model.context = None
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.context = context
        model.train(training)
