"""Tasks made of two parts: documents, and the format in which they are asked and scored.

`Documents` know where the questions stand, `Format` makes requests of one and metrics of the
responses. Any format goes with any documents that have what it needs.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.task import Instance, InstanceScore, Request, Response

# OLMES's `random_subsample_seed`: a limit picks the same questions as its `limit` does.
SUBSAMPLE_SEED = 1234
Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


@dataclass(frozen=True)
class Document:
    """One question, its prompt written out.

    Attributes:
        doc_id: Its number in the task.
        native_id: What its data set calls it.
        doc: The row it was made of.
        label: The gold choice's number, or the gold answers.
        choices: Context and continuation of each choice; one, where there is only a gold answer.
    """

    doc_id: int
    native_id: str | int | None
    doc: Mapping[str, Any]
    label: Any
    choices: tuple[tuple[str, str], ...]

    @property
    def gold(self) -> int:
        """Number of the gold choice; 0 where there is but a gold answer."""
        return self.label if isinstance(self.label, int) and len(self.choices) > 1 else 0


class Documents(Protocol):
    """Where questions come from."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """What identifies them and their prompts; plain values."""
        ...

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Document]:
        """Those in these places, counted from 0, or all of them; in their order.

        Raises:
            UserError: The data are absent.
        """
        ...


class Format(Protocol):
    """How a document is asked, and what its responses are worth."""

    @property
    def primary_metric(self) -> str:
        """The metric that stands for the task."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """False of bits per byte."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """What decides the score; plain values."""
        ...

    def requests(self, document: Document) -> tuple[Request, ...]:
        """What is asked of the model; at least one request."""
        ...

    def score(self, instance: Instance, responses: Sequence[Response]) -> InstanceScore:
        """Metrics of one instance by the responses to its requests."""
        ...


@dataclass(frozen=True)
class DocumentTask:
    """A `Task`: these documents in this format."""

    name: str
    documents: Documents
    format: Format

    @property
    def primary_metric(self) -> str:
        """The metric that stands for the task."""
        return self.format.primary_metric

    @property
    def higher_is_better(self) -> bool:
        """False of bits per byte."""
        return self.format.higher_is_better

    @property
    def config(self) -> Mapping[str, Any]:
        """Whatever decides a score, as plain values."""
        return {"name": self.name, **self.documents.config, **self.format.config}

    def instances(self, limit: int | None = None) -> Iterator[Instance]:
        """The questions in the order of the data; with a limit, OLMES's random choice of them.

        Raises:
            UserError: The data are absent, damaged or fewer than they should be.
        """
        for document in chosen(self.documents, limit, self.name):
            yield Instance(
                document.doc_id,
                document.native_id,
                document.doc,
                document.label,
                self.format.requests(document),
            )

    def score(self, answered: Sequence[tuple[Instance, Sequence[Response]]]) -> list[InstanceScore]:
        """Score instances by the responses to their requests."""
        return [self.format.score(instance, responses) for instance, responses in answered]


class Source(Protocol[Item_co]):
    """Anything that has items in an order, such as `Documents`."""

    @property
    def count(self) -> int:
        """How many there should be."""
        ...

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Item_co]:
        """Those in these places, counted from 0, or all of them; in their order."""
        ...


def chosen(source: Source[Item], limit: int | None, task: str) -> Iterator[Item]:
    """The items that a limit leaves: OLMES's random choice of them, in the order of the data.

    Args:
        source: Of the items.
        limit: At most so many; None: all.
        task: Its name, for messages.

    Raises:
        UserError: There are fewer than there should be, so a score would be another task's.
    """
    numbers, found = subsample(source.count, limit), 0
    for item in source.read(numbers):
        found += 1
        yield item
    if found < len(numbers):
        there = sum(1 for _ in source.read())
        raise UserError(f"task {task}: its data have {there} questions; expected {source.count}")


def subsample(count: int, limit: int | None) -> frozenset[int] | range:
    """The numbers of the questions that a limit leaves, of `count`."""
    if limit is None or limit >= count:
        return range(count)
    return frozenset(random.Random(SUBSAMPLE_SEED).sample(range(count), limit))


def picked(
    items: Iterable[Item], numbers: Collection[int] | None = None
) -> Iterator[tuple[int, Item]]:
    """The items in these places, counted from 0, and their places; None: all.

    None behind the last of them is asked for.
    """
    if numbers is None:
        yield from enumerate(items)
        return
    for number, item in zip(range(max(numbers, default=-1) + 1), items, strict=False):
        if number in numbers:
            yield number, item
