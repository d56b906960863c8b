"""Formats that ask how likely continuations are: choices, a gold answer, a last word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from olmoflow.errors import UserError
from olmoflow.evaluate.metrics.likelihood import Choice, choice_metrics, gold_metrics
from olmoflow.evaluate.tasks.document import Document, Documents, DocumentTask
from olmoflow.evaluate.tasks.task import (
    Instance,
    InstanceScore,
    LoglikelihoodRequest,
    LoglikelihoodResponse,
    Response,
)

ACCURACIES = ("acc_raw", "acc_per_token", "acc_per_char", "acc_per_byte", "acc_uncond")
# OLMES's context without the question.
UNCONDITIONAL_CONTEXT = "Answer:"


@dataclass(frozen=True)
class RankedChoices:
    """The likeliest choice is the answer (cloze with the choices' texts, MC with their letters).

    Attributes:
        name: ``rc`` or ``mc``.
        primary_metric: One of the ``acc_*`` of `metrics.likelihood`.
        unconditional: Also ask for each choice behind ``Answer:`` alone. These requests stand
            after those of the choices (OLMES numbers their documents from 1,000,000 on).
    """

    name: str
    primary_metric: str
    unconditional: bool = False
    higher_is_better: bool = True

    @property
    def config(self) -> Mapping[str, Any]:
        """What decides the score."""
        return {
            "format": self.name,
            "primary_metric": self.primary_metric,
            "unconditional": UNCONDITIONAL_CONTEXT if self.unconditional else None,
        }

    def requests(self, document: Document) -> tuple[LoglikelihoodRequest, ...]:
        """One for each choice, and then one without the question for each."""
        asked = [
            LoglikelihoodRequest(context, continuation, idx)
            for idx, (context, continuation) in enumerate(document.choices)
        ]
        if self.unconditional:
            asked += [
                replace(request, context=UNCONDITIONAL_CONTEXT, unconditional=True)
                for request in asked
            ]
        return tuple(asked)

    def score(self, instance: Instance, responses: Sequence[Response]) -> InstanceScore:
        """Accuracies under each normalisation, and the gold choice's likelihood."""
        pairs = _pairs(instance, responses)
        alone = {asked.idx: said.sum_logits for asked, said in pairs if asked.unconditional}
        choices = [
            Choice(asked.continuation, said.sum_logits, said.num_tokens, alone.get(asked.idx))
            for asked, said in pairs
            if not asked.unconditional
        ]
        return InstanceScore(choice_metrics(choices, instance.label), {})


@dataclass(frozen=True)
class GoldAnswer:
    """Bits per byte of the gold answer, nothing else being asked.

    The same number that `RankedChoices` gives as ``bits_per_byte_corr``, for the price of one
    choice. A task's score is the mean over questions, not over bytes (OLMES).
    """

    primary_metric: str = "bits_per_byte_corr"
    higher_is_better: bool = False

    @property
    def config(self) -> Mapping[str, Any]:
        """What decides the score."""
        return {"format": "bpb", "primary_metric": self.primary_metric}

    def requests(self, document: Document) -> tuple[LoglikelihoodRequest, ...]:
        """The gold answer."""
        return (LoglikelihoodRequest(*document.choices[document.gold]),)

    def score(self, instance: Instance, responses: Sequence[Response]) -> InstanceScore:
        """Its likelihood, by several lengths."""
        return InstanceScore(gold_metrics(_choice(instance, responses)), {})


@dataclass(frozen=True)
class GreedyAnswer:
    """Whether greedy decoding would say the gold answer (LAMBADA)."""

    primary_metric: str = "greedy_acc"
    higher_is_better: bool = True

    @property
    def config(self) -> Mapping[str, Any]:
        """What decides the score."""
        return {"format": "greedy", "primary_metric": self.primary_metric}

    def requests(self, document: Document) -> tuple[LoglikelihoodRequest, ...]:
        """The gold answer."""
        return (LoglikelihoodRequest(*document.choices[document.gold]),)

    def score(self, instance: Instance, responses: Sequence[Response]) -> InstanceScore:
        """1 if each of its tokens is the likeliest, else 0; and its likelihood."""
        ((_, said),) = _pairs(instance, responses)
        gold = gold_metrics(_choice(instance, responses))
        return InstanceScore({"greedy_acc": float(said.is_greedy), **gold}, {})


def choices_task(
    name: str, documents: Documents, form: RankedChoices, *, primary_metric: str | None = None
) -> DocumentTask:
    """A task of ranked choices; `primary_metric` is the user's to choose.

    Raises:
        UserError: It is no accuracy, or one that these documents have no requests for.
    """
    if primary_metric is not None:
        known = ACCURACIES if form.unconditional else ACCURACIES[:-1]
        if primary_metric not in known:
            raise UserError(
                f"task {name}: primary_metric={primary_metric}; expected one of {', '.join(known)}"
            )
        form = replace(form, primary_metric=primary_metric)
    return DocumentTask(name, documents, form)


def _choice(instance: Instance, responses: Sequence[Response]) -> Choice:
    ((asked, said),) = _pairs(instance, responses)
    return Choice(asked.continuation, said.sum_logits, said.num_tokens)


def _pairs(
    instance: Instance, responses: Sequence[Response]
) -> list[tuple[LoglikelihoodRequest, LoglikelihoodResponse]]:
    asked = [r for r in instance.requests if isinstance(r, LoglikelihoodRequest)]
    said = [r for r in responses if isinstance(r, LoglikelihoodResponse)]
    return list(zip(asked, said, strict=True))
