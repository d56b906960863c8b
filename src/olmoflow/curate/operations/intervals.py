"""Operations that cut byte ranges out of a text, which an earlier step has marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from olmoflow.curate.operations.arguments import refuse, require_share
from olmoflow.curate.operations.columns import Mask, objects_of, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import with_field
from olmoflow.curate.text.intervals import (
    Interval,
    clipped,
    cut,
    merge_intervals,
    nearest_boundary,
    sandwiched_intervals,
)


def _pairs(value: Any) -> list[Sequence[int]]:
    """Intervals as ``[[start, end], …]``, whatever form they have in the document.

    Raises:
        ValueError: They have none of the known forms.
    """
    pairs: list[Sequence[int]] = []
    for pair in value or []:
        if isinstance(pair, dict) and {"start", "end"} <= pair.keys():
            pair = [pair["start"], pair["end"]]
        if not isinstance(pair, list | tuple) or len(pair) < 2:
            raise ValueError(f"{pair!r} is no interval; expected [start, end]")
        pairs.append([int(pair[0]), int(pair[1])])
    return pairs


def _texts(documents: pa.Table, name: str) -> list[bytes]:
    column = text_of(documents, name).cast(pa.large_binary())
    return [value or b"" for value in column.to_pylist()]


def _set_texts(documents: pa.Table, name: str, texts: list[bytes]) -> pa.Table:
    # Cut at characters' borders only, so what was UTF-8 remains it.
    array = pa.array(texts, pa.large_binary()).cast(pa.large_string())
    return with_field(documents, name, pa.chunked_array([array]))


@dataclass(frozen=True)
class IntervalFilter:
    """Cut marked byte ranges out of a text; drop the document if nothing is left.

    Args:
        interval_field: The ranges, ``[[start, end], …]``, end excluded.
        fuzzy_merge: Cut out also what lies between ranges, where they cover most of the whole.
        merge_fuzziness: How much of it they must cover.
        output_text_field: Where the rest of the text goes; none: to ``text_field``.
        text_field: The text.
    """

    interval_field: str
    fuzzy_merge: bool = False
    merge_fuzziness: float = 1.0
    output_text_field: str | None = None
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_share("interval_filter", "merge_fuzziness", self.merge_fuzziness)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = _texts(documents, self.text_field)
        errors: dict[int, str] = {}
        keep: Mask = np.ones(len(texts), np.bool_)
        for row, value in enumerate(objects_of(documents, self.interval_field)):
            if not value:
                continue
            try:
                pairs = _pairs(value)
            except (ValueError, TypeError) as error:
                errors[row] = f"{self.interval_field}: {error}"
                continue
            if self.fuzzy_merge:
                merged = sandwiched_intervals(pairs, self.merge_fuzziness)
            else:
                merged = merge_intervals(pairs)
            texts[row] = cut(texts[row], clipped(texts[row], merged))
            keep[row] = bool(texts[row])
        target = self.output_text_field or self.text_field
        return Outcome(_set_texts(documents, target, texts), keep, errors)


@dataclass(frozen=True)
class SaByteModifier:
    """Cut repeated byte ranges out of a text, moved to where paragraphs, lines, sentences begin.

    Ranges that lie close together are one. Each end moves to the nearest boundary, of paragraphs if
    one is near, else of lines, else of sentences.

    Args:
        suffix_array_key: The ranges, ``[[start, end], …]``, end excluded.
        text_key: The text.
        old_text_key: Where the text as it was goes; none: nowhere.
        check_paragraph: Whether an end may move to a paragraph's boundary.
        check_newline: Whether it may move to a line's.
        check_sentences: Whether it may move to a sentence's.
        check_width: How many bytes it may move.
        gap_width: Bytes between two ranges that are cut out with them.
        proportion_removal: Drop a document of which more than this share would go; 0: none.
        doc_min_length: Drop a document of which fewer bytes are left.
        metadata_key: Where the ranges that were cut out go; none: nowhere.
    """

    suffix_array_key: str = "metadata.suffix_array"
    text_key: str = "text"
    old_text_key: str | None = None
    check_paragraph: bool = True
    check_newline: bool = True
    check_sentences: bool = True
    check_width: int = 50
    gap_width: int = 50
    proportion_removal: float = 0.0
    doc_min_length: int = 0
    metadata_key: str | None = None

    def __post_init__(self) -> None:
        require_share("sa_byte_modifier", "proportion_removal", self.proportion_removal)
        for key in ("check_width", "gap_width", "doc_min_length"):
            if getattr(self, key) < 0:
                refuse("sa_byte_modifier", key, getattr(self, key), "0 or more")

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = _texts(documents, self.text_key)
        removed: list[list[Interval]] = [[] for _ in texts]
        errors: dict[int, str] = {}
        keep: Mask = np.ones(len(texts), np.bool_)
        for row, value in enumerate(objects_of(documents, self.suffix_array_key)):
            text = texts[row]
            try:
                removed[row] = self._moved(text, _pairs(value))
            except (ValueError, TypeError) as error:
                errors[row] = f"{self.suffix_array_key}: {error}"
                continue
            texts[row] = cut(text, removed[row])
            gone = len(text) - len(texts[row])
            too_much = 0 < self.proportion_removal * len(text) < gone
            keep[row] = not too_much and len(texts[row]) >= self.doc_min_length
        if self.old_text_key:
            documents = with_field(documents, self.old_text_key, text_of(documents, self.text_key))
        if self.metadata_key:
            column = pa.array(removed, pa.list_(pa.list_(pa.int64())))
            documents = with_field(documents, self.metadata_key, pa.chunked_array([column]))
        return Outcome(_set_texts(documents, self.text_key, texts), keep, errors)

    def _moved(self, text: bytes, pairs: list[Sequence[int]]) -> list[Interval]:
        moved = [
            (self._boundary(text, start), self._boundary(text, end))
            for start, end in clipped(text, merge_intervals(pairs, self.gap_width))
        ]
        return clipped(text, merge_intervals(moved))

    def _boundary(self, text: bytes, place: int) -> int:
        return nearest_boundary(
            text,
            place,
            self.check_width,
            paragraphs=self.check_paragraph,
            newlines=self.check_newline,
            sentences=self.check_sentences,
        )
