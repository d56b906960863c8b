"""Operations that cut byte ranges out of a text, which an earlier step has marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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


def _set_texts(documents: pa.Table, name: str, texts: list[bytes | None]) -> pa.Table:
    # Cut at characters' borders only, so what was UTF-8 remains it.
    array = pa.array(texts, pa.large_binary()).cast(pa.large_string())
    return with_field(documents, name, pa.chunked_array([array]))


@dataclass(frozen=True)
class IntervalFilter:
    """Cut marked byte ranges out of a text; drop the document if nothing is left.

    Ranges may overlap, and reach beyond the text or into a character, where datamap-rs stops. A
    document without ranges stays as it is.

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
        target = self.output_text_field or self.text_field
        left: list[bytes | None] = text_of(documents, target).cast(pa.large_binary()).to_pylist()
        errors: dict[int, str] = {}
        keep: Mask = np.ones(len(texts), np.bool_)
        for row, value in enumerate(objects_of(documents, self.interval_field)):
            if value is None:
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
            rest = cut(texts[row], clipped(texts[row], merged))
            left[row] = rest
            keep[row] = bool(rest)
        return Outcome(_set_texts(documents, target, left), keep, errors)


@dataclass(frozen=True)
class SaByteModifier:
    """Cut repeated byte ranges out of a text, moved to where paragraphs, lines, sentences begin.

    Ranges that lie close together are one. Each end moves to the nearest boundary. Ranges that then
    overlap are one, and what has become empty is none; datamap-rs counts them as they are. A
    document without ranges stays as it is.

    Args:
        suffix_array_key: The ranges, ``[[start, end], …]``, end excluded.
        text_key: The text.
        old_text_key: Where the text as it was goes; none: nowhere.
        check_paragraph: Whether an end may move to a paragraph's boundary.
        check_newline: Whether it may move to a line's.
        check_sentences: Whether it may move to a sentence's.
        check_width: How many bytes around an end are searched for a boundary.
        gap_width: Bytes between two ranges that are cut out with them.
        proportion_removal: Drop a document of which less than this share is left.
        doc_min_length: Drop a document of which fewer bytes are left.
        metadata_key: Where figures go (``KEY.intervals_before_merge``, …); none: nowhere.
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
        column = text_of(documents, self.text_key).cast(pa.large_binary())
        texts: list[bytes | None] = column.to_pylist()
        figures: list[dict[str, Any]] = [{} for _ in texts]
        changed = np.zeros(len(texts), np.bool_)
        errors: dict[int, str] = {}
        keep: Mask = np.ones(len(texts), np.bool_)
        for row, value in enumerate(objects_of(documents, self.suffix_array_key)):
            if not value:
                continue
            text = texts[row] or b""
            try:
                removed, figures[row] = self._removed(text, _pairs(value))
            except (ValueError, TypeError) as error:
                errors[row] = f"{self.suffix_array_key}: {error}"
                continue
            left = cut(text, removed)
            share = len(left) / max(len(text), 1)
            keep[row] = share >= self.proportion_removal and len(left) >= self.doc_min_length
            texts[row], changed[row] = left, True
        if self.old_text_key:
            old = text_of(documents, self.text_key)
            before = text_of(documents, self.old_text_key)
            old = pc.if_else(pa.array(changed), old, before)
            documents = with_field(documents, self.old_text_key, old)
        if self.metadata_key:
            for name in _FIGURES:
                values = pa.array([figure.get(name) for figure in figures], pa.int64())
                chunked = pa.chunked_array([values])
                documents = with_field(documents, f"{self.metadata_key}.{name}", chunked)
        return Outcome(_set_texts(documents, self.text_key, texts), keep, errors)

    def _removed(
        self, text: bytes, pairs: list[Sequence[int]]
    ) -> tuple[list[Interval], dict[str, int]]:
        """What is cut out, and the figures."""
        given = clipped(text, [(int(start), int(end)) for start, end in pairs])
        merged = merge_intervals(given, self.gap_width)
        moved = [(self._boundary(text, start), self._boundary(text, end)) for start, end in merged]
        removed = clipped(text, merge_intervals(moved))
        after = sum(end - start for start, end in removed)
        modified = sum(new != old for new, old in zip(moved, merged, strict=True))
        values = (
            *(len(pairs), len(merged), sum(end - start for start, end in given)),
            *(after, len(text), len(text) - after, modified),
        )
        return removed, dict(zip(_FIGURES, values, strict=True))

    def _boundary(self, text: bytes, place: int) -> int:
        return nearest_boundary(
            text,
            place,
            self.check_width,
            paragraphs=self.check_paragraph,
            newlines=self.check_newline,
            sentences=self.check_sentences,
        )


_FIGURES = (
    *("intervals_before_merge", "intervals_after_merge", "bytes_to_remove_before"),
    *("bytes_to_remove_after", "original_bytes", "remaining_bytes", "coherent_interval_mods"),
)
