"""A user's own documents into a corpus: checked, and split into training and held-out text."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from olmoflow.curate.documents import CorpusWriter
from olmoflow.documents import Intake, read_documents
from olmoflow.errors import UserError

# Fields of a written document that are there even if they are empty.
_ALWAYS = frozenset({"id", "text", "source", "path", "license"})


@dataclass(frozen=True)
class SplitStatistics:
    """What was written.

    Attributes:
        documents: Documents by split.
        bytes: UTF-8 bytes of text by split.
        malformed: What was set apart, told in ``errors.jsonl``.
        duplicate_ids: Documents that got another id, because theirs was taken.
    """

    documents: dict[str, int]
    bytes: dict[str, int]
    malformed: int
    duplicate_ids: int = 0


def split_documents(
    source: Path,
    output: Path,
    *,
    heldout_fraction: float = 0.02,
    max_document_bytes: int = 100_000_000,
    max_error_rate: float = 0.001,
    seed: int = 0,
) -> SplitStatistics:
    """Write ``OUTPUT/train`` and ``OUTPUT/heldout``.

    The hash of its text decides where a document goes. So a document stays where it is when others
    come or go, and a copy of it never stands on the other side. The second document called ``a``
    becomes ``a#2``; some 100 bytes a document are held for that.

    Args:
        source: A file or folder, as `read_documents` takes it.
        output: The corpus folder.
        heldout_fraction: Share of the documents that is held out, about.
        max_document_bytes: Longer lines and texts are malformed, and never held whole.
        max_error_rate: Share of malformed documents above which the work stops.
        seed: Of the split.

    Raises:
        UserError: There is no document, too many are malformed, or none is left for training.
    """
    if not 0 <= heldout_fraction < 1:
        raise UserError(f"heldout_fraction={heldout_fraction:g}: expected 0 or more, below 1")
    if max_document_bytes <= 0:
        raise UserError(f"max_document_bytes={max_document_bytes}: expected above 0")
    intake, ids = Intake(max_error_rate, max_document_bytes), _Ids()
    try:
        with CorpusWriter(output) as writer:
            for document in read_documents(source, intake):
                heldout = uniform(seed, document.text.encode()) < heldout_fraction
                row = {k: v for k, v in asdict(document).items() if v or k in _ALWAYS}
                row["id"] = ids.unique(document.id)
                writer.write("heldout" if heldout else "train", row)
    finally:
        intake.write(output)
    if not writer.documents.get("train"):
        raise UserError(
            f"{source}: all {intake.documents} documents are held out; expected more documents, or "
            f"less than heldout_fraction={heldout_fraction:g}"
        )
    return SplitStatistics(writer.documents, writer.bytes, len(intake.malformed), ids.renamed)


class _Ids:
    """Gives every document an id of its own.

    Attributes:
        renamed: How many got another one than they had.
    """

    def __init__(self) -> None:
        self.renamed = 0
        self._taken: set[int] = set()
        self._last: dict[str, int] = {}

    def unique(self, id: str) -> str:
        """The id, or the first of ``id#2``, ``id#3`` … that is free."""
        if self._take(id):
            return id
        number = self._last.get(id, 1) + 1
        while not self._take(f"{id}#{number}"):
            number += 1
        self._last[id] = number
        self.renamed += 1
        return f"{id}#{number}"

    def _take(self, id: str) -> bool:
        digest = hashlib.blake2b(id.encode(), digest_size=8).digest()
        before = len(self._taken)
        self._taken.add(int.from_bytes(digest, "big"))
        return len(self._taken) > before


def uniform(seed: int, text: bytes | memoryview) -> float:
    """A number in [0, 1) that the text, in UTF-8, decides."""
    whole = hashlib.sha256(f"{seed}\0".encode())
    whole.update(text)
    return int.from_bytes(whole.digest()[:8], "big") / 2**64
