"""Evaluates while training goes on, every so many steps and within a share of the time.

The model that is being trained is scored where it stands, sharded or not. Nothing of the training
is touched: with and without the callback its losses are the same to the bit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist

from olmoflow.errors import UserError
from olmoflow.evaluate.in_loop.scorer import TrainingScorer
from olmoflow.evaluate.in_loop.share import Share
from olmoflow.evaluate.runner.answers import Answerer, Prepared
from olmoflow.evaluate.runner.run import bind, score_answered
from olmoflow.evaluate.runner.summary import TaskSummary, summarise
from olmoflow.evaluate.scores import metric_name, scored_parts, suite_name, with_questions
from olmoflow.evaluate.suites import Leaf, Suite
from olmoflow.evaluate.tasks.task import GenerateRequest, Instance
from olmoflow.tokens.tokenizer import Tokenizer
from olmoflow.train.callbacks import Reporter
from olmoflow.train.module import OlmoModule

SHARE = "throughput/device/evaluation (%)"


class InLoopEvaluation(pl.Callback):
    """Scores a suite every so many steps and at the last one.

    The scores join the step's report under OLMo-core's names, ``eval/downstream/TASK (METRIC)``,
    and ``eval/suite/NAME/PART`` of the suite's parts; standard error and number of questions of
    each stand in ``eval/stderr/…`` and ``eval/questions/…``. A task that has no score, and an
    evaluation that is left out since it would take more than its share of the time, are named.

    Args:
        suite: Of tasks that ask for likelihoods.
        tokenizer: Of the shards.
        every_steps: Between two evaluations.
        limit: Questions of each task; None: what the suite says.
        max_share: Evaluation takes at most so much of the time since the start; None: whatever.
        batch_tokens: Tokens of a forward pass.

    Raises:
        UserError: A task's data are absent, or it asks for text.
    """

    def __init__(
        self,
        suite: Suite,
        tokenizer: Tokenizer,
        *,
        every_steps: int,
        limit: int | None = None,
        max_share: float | None = 0.1,
        batch_tokens: int = 8192,
    ) -> None:
        self.suite, self.tokenizer = suite, tokenizer
        self.every_steps, self.batch_tokens = every_steps, batch_tokens
        self.share = Share(max_share)
        self.skipped = 0
        self._named: set[str] = set()
        self._questions = {
            leaf.key: (leaf, _questions(leaf))
            for leaf in bind(suite.tasks().values(), tokenizer, limit)
        }
        self._prepared: dict[str, Prepared] = {}
        self._tokens = 0
        self._begun = 0.0
        self._tokens_before = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Encode the questions; begin the clock."""
        assert isinstance(pl_module, OlmoModule)
        answerer = self._answerer(trainer, pl_module)
        self._prepared = {
            key: answerer.prepare(key, instances) for key, (_, instances) in self._questions.items()
        }
        self._tokens = _distinct_tokens(list(self._prepared.values()))
        if trainer.is_global_zero:
            _name_cut(list(self._prepared.values()), answerer.engine.max_length)
        self._begun, self._tokens_before = time.perf_counter(), pl_module.tokens

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Evaluate if it is time, on every rank alike."""
        step = trainer.global_step
        due = step % self.every_steps == 0 or step == trainer.max_steps
        stopping = trainer.should_stop and step < trainer.max_steps
        if not due or stopping:
            return
        assert isinstance(pl_module, OlmoModule)
        elapsed = time.perf_counter() - self._begun
        expected = self._expected(elapsed, pl_module)
        if not _agreed(trainer, self.share.allows(expected, elapsed)):
            self._skip(trainer, expected, elapsed)
            return
        started = time.perf_counter()
        metrics = self.evaluate(trainer, pl_module)
        seconds = time.perf_counter() - started
        self.share.spend(seconds)
        metrics[SHARE] = 100 * self.share.spent / (elapsed + seconds)
        _reporter(trainer).add(trainer, metrics, seconds)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how many evaluations were left out."""
        if self.skipped > 1 and trainer.is_global_zero:
            print(
                f"evaluation: {self.skipped} were left out to stay within max_share="
                f"{self.share.limit}",
                file=sys.stderr,
            )

    def evaluate(self, trainer: pl.Trainer, module: OlmoModule) -> dict[str, float]:
        """The scores of the model as it is now, by their names. All ranks must take part."""
        answerer = self._answerer(trainer, module)
        summaries: dict[str, TaskSummary] = {}
        for key, (leaf, _) in self._questions.items():
            answered = answerer.answer_prepared(self._prepared[key])
            scores = score_answered(leaf.task, answered)
            summaries[key] = summarise(key, leaf.task, answered, scores)
        if trainer.is_global_zero:
            self._name_unscored(trainer.global_step, summaries)
        return self._metrics(summaries)

    def _metrics(self, summaries: Mapping[str, TaskSummary]) -> dict[str, float]:
        whole = self.suite.score(summaries).as_dict()
        rows: dict[str, Mapping[str, Any]] = {
            metric_name(key, summary.primary_metric): asdict(summary)
            for key, summary in summaries.items()
        }
        return with_questions(rows | dict(scored_parts(suite_name(self.suite.name), whole)))

    def _name_unscored(self, step: int, summaries: Mapping[str, TaskSummary]) -> None:
        """Say once of each task that it has no score."""
        for key, summary in summaries.items():
            if summary.score is None and key not in self._named:
                self._named.add(key)
                print(
                    f"evaluation: {key} has no score at step {step}: {summary.error}",
                    file=sys.stderr,
                )

    def _answerer(self, trainer: pl.Trainer, module: OlmoModule) -> Answerer:
        scorer = TrainingScorer(
            module.model,
            batch_tokens=self.batch_tokens,
            world=trainer.world_size,
            rank=trainer.global_rank,
            vocab_size=self.tokenizer.vocab_size,
        )
        return Answerer(scorer, self.tokenizer)

    def _expected(self, elapsed: float, module: OlmoModule) -> float:
        """Seconds that an evaluation takes: the last one's, or at first as if it were training."""
        if self.share.last is not None:
            return self.share.last
        seen = module.tokens - self._tokens_before
        return self._tokens * elapsed / max(1, seen)

    def _skip(self, trainer: pl.Trainer, expected: float, elapsed: float) -> None:
        self.skipped += 1
        if self.skipped == 1 and trainer.is_global_zero:
            print(
                f"evaluation: left out at step {trainer.global_step}; it takes about "
                f"{expected:.1f} s, and max_share={self.share.limit} allows "
                f"{self.share.allowance(elapsed):.1f} s by now",
                file=sys.stderr,
            )


def _questions(leaf: Leaf) -> list[Instance]:
    instances = list(leaf.task.instances(leaf.limit))
    if any(isinstance(r, GenerateRequest) for i in instances[:1] for r in i.requests):
        raise UserError(
            f"evaluation: {leaf.key} asks for text; while training goes on only tasks are scored "
            "that ask for likelihoods (olmoflow evaluate scores it)"
        )
    return instances


def _distinct_tokens(prepared: Sequence[Prepared]) -> int:
    """Tokens that an evaluation reads, equal requests once."""
    lengths = {
        key: getattr(each, "tokens", 0)
        for task in prepared
        for each, key in zip(task.encoded, task.keys, strict=True)
        if key is not None
    }
    return sum(lengths.values())


def _name_cut(prepared: Sequence[Prepared], max_length: int) -> None:
    """Say how many requests are scored without the beginning of their context."""
    encoded = [each for task in prepared for each in task.encoded]
    cut = sum(getattr(each, "truncated", 0) > 0 for each in encoded)
    if cut:
        print(
            f"evaluation: {cut:,} of {len(encoded):,} requests are longer than the {max_length:,} "
            "tokens that the model takes, and lose the beginning of their context",
            file=sys.stderr,
        )


def _agreed(trainer: pl.Trainer, decision: bool) -> bool:
    """Rank 0's decision: the ranks' clocks differ by a little."""
    if trainer.world_size == 1:
        return decision
    flag = torch.tensor(int(decision), device=trainer.strategy.root_device)
    dist.broadcast(flag, src=0)
    return bool(flag)


def _reporter(trainer: pl.Trainer) -> Reporter:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return next(each for each in callbacks if isinstance(each, Reporter))
