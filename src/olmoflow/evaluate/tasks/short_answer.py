"""Questions answered in a few generated words and compared with reference answers (GenQA)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from olmoflow.evaluate.metrics.answers import drop_metrics, squad_metrics
from olmoflow.evaluate.tasks.catalog import variants
from olmoflow.evaluate.tasks.document import Document, DocumentTask
from olmoflow.evaluate.tasks.olmo_eval import RequestDocuments
from olmoflow.evaluate.tasks.task import (
    GenerateRequest,
    GenerateResponse,
    Instance,
    InstanceScore,
    Response,
    Task,
)

# OLMES's stop sequences of each task, as its requests have them.
STOPS = {
    "coqa": ("\n\n",),
    "drop": ("Passage:", "Question:", "\n\n"),
    "jeopardy": ("\n\n", "Question:", "Category:"),
    "naturalqs": ("Question:", "Q:", "\n\n"),
    "squad": ("Title:", "\n\n"),
}
MAX_NEW_TOKENS = 50


@dataclass(frozen=True)
class ShortAnswer:
    """The likeliest words, one after the other, up to a stop sequence, against the references.

    Attributes:
        stop_sequences: Texts that end the answer.
        spans: References are lists of spans (DROP), scored by DROP's rules; otherwise by SQuAD's.
        max_new_tokens: Of the answer.
    """

    stop_sequences: tuple[str, ...]
    spans: bool = False
    max_new_tokens: int = MAX_NEW_TOKENS
    primary_metric: str = "f1"
    higher_is_better: bool = True

    @property
    def config(self) -> Mapping[str, Any]:
        """What decides the score."""
        return {
            "format": "gen",
            "primary_metric": self.primary_metric,
            "scored_as": "drop" if self.spans else "squad",
            "stop_sequences": list(self.stop_sequences),
            "max_new_tokens": self.max_new_tokens,
            "temperature": 0.0,
        }

    def requests(self, document: Document) -> tuple[GenerateRequest, ...]:
        """The prompt."""
        context, _ = document.choices[0]
        return (GenerateRequest(context, self.stop_sequences, self.max_new_tokens),)

    def score(self, instance: Instance, responses: Sequence[Response]) -> InstanceScore:
        """The answer against the best of its references."""
        (response,) = (r for r in responses if isinstance(r, GenerateResponse))
        said = response.continuations[0].strip()
        if self.spans:
            metrics = drop_metrics(said, instance.label)
        else:
            references = instance.label
            metrics = squad_metrics(
                said, [references] if isinstance(references, str) else references
            )
        if not said:  # some references are empty once normalised
            return InstanceScore(dict.fromkeys(metrics, 0.0), {"no_answer": 1}, (None,))
        return InstanceScore(metrics, {"scored": 1}, (said,))


def tasks() -> dict[str, Callable[..., Task]]:
    """The five generative tasks whose references the wheel has."""
    made: dict[str, Callable[..., Task]] = {}
    for variant in variants():
        if variant.task in STOPS:
            name = f"{variant.task}:gen"
            form = ShortAnswer(STOPS[variant.task], spans=variant.task == "drop")
            # The prompt is the same with and without a repaired gold answer.
            documents = RequestDocuments(variant, repaired=False)
            made[name] = partial(DocumentTask, name, documents, form)
    return made
