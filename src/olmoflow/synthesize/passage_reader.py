"""The passages of a corpus, read twice: counted and drawn first, then taken.

So a corpus of any size is read without being held, and it is known beforehand how many there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from olmoflow.documents import Intake, document_files, read_documents
from olmoflow.errors import UserError
from olmoflow.synthesize.passages import Cutter, Passage, PassageCount, passages_of
from olmoflow.synthesize.prompt import draw

_OFTEN = 1000


@dataclass(frozen=True)
class Survey:
    """What there is.

    Attributes:
        count: Of documents and passages.
        highest: The draw up to which passages are taken; None: all are.
        malformed: Rows that are no documents.
    """

    count: PassageCount
    highest: int | None
    malformed: int


@dataclass(frozen=True)
class PassageReader:
    """Reads the same passages each time.

    Args:
        path: A file or folder of documents.
        cutter: Cuts them.
        min_characters: A passage with fewer is left out.
        limit: Passages at most; a larger one with the same seed takes the same ones and more.
        seed: Of the draw.
        max_error_rate: Share of malformed documents above which reading stops.
        max_document_bytes: Longer lines and texts are malformed; None: no limit.
    """

    path: Path
    cutter: Cutter
    min_characters: int = 1
    limit: int | None = None
    seed: int = 0
    max_error_rate: float = 0.001
    max_document_bytes: int | None = None

    def survey(self, folder: Path, advance: Callable[[int, int], None]) -> Survey:
        """Read everything once.

        Args:
            folder: Gets ``errors.jsonl`` with what is malformed.
            advance: Told of the bytes that are read, and of how many.

        Raises:
            UserError: Too much is malformed, or there is no passage.
        """
        count, intake = PassageCount(), Intake(self.max_error_rate, self.max_document_bytes)
        try:
            highest = self._highest(self._shown(self._all(count, intake), intake, advance))
        finally:
            intake.write(folder)
        if not count.passages:
            raise UserError(
                f"corpus={self.path}: none of {count.documents} documents has a passage of "
                f"pipeline.passages.min_characters={self.min_characters} or more"
            )
        count.over_limit = max(0, count.passages - (self.limit or count.passages))
        return Survey(count, highest, len(intake.malformed))

    def passages(self, highest: int | None) -> Iterator[Passage]:
        """The passages that are taken, in their order."""
        every = self._all(PassageCount(), Intake(1.0, self.max_document_bytes))
        return (passage for passage in every if highest is None or self._draw(passage) <= highest)

    def _highest(self, passages: Iterable[Passage]) -> int | None:
        draws = map(self._draw, passages)
        if self.limit is not None:
            return max(heapq.nsmallest(self.limit, draws), default=None)
        for _ in draws:  # they are counted on the way
            pass
        return None

    def _draw(self, passage: Passage) -> int:
        return draw(self.seed, "limit", passage.digest)

    def _shown(
        self, passages: Iterator[Passage], intake: Intake, advance: Callable[[int, int], None]
    ) -> Iterator[Passage]:
        total = sum(file.stat().st_size for file in document_files(self.path))
        for number, passage in enumerate(passages):
            if number % _OFTEN == 0:
                advance(intake.file_bytes, total)
            yield passage
        advance(total, total)

    def _all(self, count: PassageCount, intake: Intake) -> Iterator[Passage]:
        documents = read_documents(self.path, intake)
        return passages_of(documents, self.cutter, self.min_characters, count)
