"""Byte ranges of a text: merged, moved to boundaries, cut out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Interval = tuple[int, int]
_NEWLINE = 10


def merge_intervals(intervals: Iterable[Sequence[int]], gap: int = 0) -> list[Interval]:
    """The intervals in order; those that overlap, or lie no more than ``gap`` apart, one.

    With -1 those that only touch remain apart.
    """
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
    merged = merge_intervals(intervals, -1)
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
    """The boundary next to a place, less than ``width`` bytes away; else the place itself.

    Boundaries are: before the place, the beginning of a mark; behind it, the end of one. Marks are
    newlines, of paragraphs two of them, and ``. ! ?``. The text's ends are boundaries as well. Of
    two that are equally far, the one before counts.
    """
    kinds = {"paragraphs": paragraphs, "newlines": newlines, "sentences": sentences}
    start, end = max(place - width, 0), min(place + width, len(text))
    before, after = _marks(text[start:place], **kinds), _marks(text[place:end], **kinds)
    back: int | None = None
    if before:
        back = place - start - before[-1]
    elif place - start < width:
        back = place - start
    ahead: int | None = None
    if after:
        ahead = after[0] + 1
    elif end - place < width:
        ahead = end - place
    if back is not None and (ahead is None or back <= ahead):
        return place - back
    return place if ahead is None else place + ahead


def _marks(text: bytes, *, paragraphs: bool, newlines: bool, sentences: bool) -> list[int]:
    """Where the marks are, in order."""
    found: list[int] = []
    p = 0
    while p < len(text):
        if paragraphs and text[p : p + 2] == b"\n\n":
            found += [p, p + 1]
            p += 1
        elif (newlines and text[p] == _NEWLINE) or (sentences and text[p] in b".!?"):
            found.append(p)
        p += 1
    return found
