"""Questions out of the documents of Ai2's wheel, asked as its prompts stand or in other words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from olmoflow.evaluate.tasks.catalog import variants
from olmoflow.evaluate.tasks.document import Document
from olmoflow.evaluate.tasks.olmo_eval import RequestDocuments
from olmoflow.evaluate.tasks.verified import Question

Reference = Callable[[Mapping[str, Any]], Any]


def documents_of(task: str) -> RequestDocuments:
    """The documents of a task of the wheel, such as ``gsm8k:bpb``."""
    return RequestDocuments(next(one for one in variants() if one.name == task))


@dataclass(frozen=True)
class ShotQuestions:
    """Questions with the shots that the wheel puts before them.

    Attributes:
        documents: Of the wheel.
        reference: From a document to what the verifier compares with.
        mended: Makes the prompt out of the wheel's; its name goes into the config.
    """

    documents: RequestDocuments
    reference: Reference
    mended: Callable[[Document], str] | None = None

    @property
    def count(self) -> int:
        """How many there are."""
        return self.documents.count

    @property
    def config(self) -> Mapping[str, Any]:
        """What identifies them and their prompts."""
        return {
            **self.documents.config,
            "prompt": self.mended.__name__ if self.mended else "wheel",
        }

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Question]:
        """Those in these places, or all of them; in their order."""
        for document in self.documents.read(numbers):
            prompt = self.mended(document) if self.mended else document.choices[0][0]
            yield _question(document, prompt, self.reference)


@dataclass(frozen=True)
class ZeroShotQuestions:
    """Questions put by a template, without shots.

    Attributes:
        documents: Of the wheel.
        reference: From a document to what the verifier compares with.
        template: With fields in braces.
        fields: From a document to what they are filled with; the document's own, if not given.
    """

    documents: RequestDocuments
    reference: Reference
    template: str
    fields: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict

    @property
    def count(self) -> int:
        """How many there are."""
        return self.documents.count

    @property
    def config(self) -> Mapping[str, Any]:
        """What identifies them and their prompts."""
        return {**self.documents.config, "num_shots": 0, "prompt": self.template}

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Question]:
        """Those in these places, or all of them; in their order."""
        for document in self.documents.read(numbers):
            prompt = self.template.format_map(self.fields(document.doc))
            yield _question(document, prompt, self.reference)


def _question(document: Document, prompt: str, reference: Reference) -> Question:
    return Question(
        document.doc_id, document.native_id, document.doc, prompt, reference(document.doc)
    )
