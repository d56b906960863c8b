"""Byte ranges of a text: merged, moved to boundaries, cut out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]


def merge_intervals(intervals: Iterable[Sequence[int]], gap: int = 0) -> list[Interval]:
    """The intervals in order; those that overlap, touch, or lie no more than ``gap`` apart, one."""
    merged: list[Interval] = []
    for start, end in sorted((int(start), int(end)) for start, end in intervals):
        if end <= start:
            continue
        if merged and start <= merged[-1][1] + gap:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def sandwiched_intervals(intervals: Iterable[Sequence[int]], fuzziness: float) -> list[Interval]:
    """Intervals together with what they enclose.

    A span grows from one interval to the next as long as intervals cover at least ``fuzziness`` of
    it; once from left to right, once from right to left. The result is the union of both.

    Args:
        intervals: Any intervals.
        fuzziness: Share of a span that must be covered; 1: nothing is enclosed.
    """
    merged = merge_intervals(intervals)
    forward = _grown(merged, fuzziness)
    mirrored = _grown([(-end, -start) for start, end in reversed(merged)], fuzziness)
    return merge_intervals(forward + [(-end, -start) for start, end in mirrored])


def _grown(intervals: list[Interval], fuzziness: float) -> list[Interval]:
    spans: list[Interval] = []
    covered = 0
    for start, end in intervals:
        if spans and covered + end - start >= fuzziness * (end - spans[-1][0]):
            spans[-1] = (spans[-1][0], end)
            covered += end - start
        else:
            spans.append((start, end))
            covered = end - start
    return spans


def clipped(text: bytes, intervals: Iterable[Interval]) -> list[Interval]:
    """Intervals within the text that cut no character in two: a cut one stays."""
    inside = []
    for start, end in intervals:
        start, end = max(start, 0), min(end, len(text))
        while start < end and text[start] & 0xC0 == 0x80:
            start += 1
        while start < end < len(text) and text[end] & 0xC0 == 0x80:
            end -= 1
        if start < end:
            inside.append((start, end))
    return inside


def cut(text: bytes, intervals: Sequence[Interval]) -> bytes:
    """The text without some disjoint intervals, which are in order."""
    ends = [0, *(end for _, end in intervals)]
    starts = [*(start for start, _ in intervals), len(text)]
    return b"".join(text[end:start] for end, start in zip(ends, starts, strict=True))


def nearest_boundary(
    text: bytes, place: int, width: int, *, paragraphs: bool, newlines: bool, sentences: bool
) -> int:
    """The boundary next to a place, at most ``width`` bytes away; else the place itself.

    A paragraph's beginning is taken before a line's, a line's before a sentence's, whatever is
    nearer among the same kind. The text's two ends are boundaries of every kind.
    """
    low, high = max(place - width, 0), min(place + width, len(text))
    kinds = [
        (paragraphs, _starts_paragraph),
        (newlines, _starts_line),
        (sentences, _starts_sentence),
    ]
    for wanted, starts in kinds:
        if not wanted:
            continue
        for distance in range(max(high - place, place - low) + 1):
            for p in (place - distance, place + distance):
                if low <= p <= high and (p in (0, len(text)) or starts(text, p)):
                    return p
    return place


def _starts_paragraph(text: bytes, p: int) -> bool:
    return p >= 2 and text[p - 2 : p] == b"\n\n" and text[p : p + 1] != b"\n"


def _starts_line(text: bytes, p: int) -> bool:
    return text[p - 1 : p] == b"\n"


def _starts_sentence(text: bytes, p: int) -> bool:
    return p >= 2 and text[p - 1 : p].isspace() and text[p - 2 : p - 1] in (b".", b"!", b"?")
