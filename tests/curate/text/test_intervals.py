"""Byte ranges are merged, closed, moved and cut out."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.curate.text.intervals import (
    clipped,
    cut,
    merge_intervals,
    nearest_boundary,
    sandwiched_intervals,
)


def test_intervals_are_merged():
    assert merge_intervals([(5, 7), (0, 3), (3, 4), (6, 9), (2, 2)]) == [(0, 4), (5, 9)]
    assert merge_intervals([(0, 3), (5, 7)], gap=2) == [(0, 7)]


def test_spans_that_are_mostly_covered_are_closed():
    # 40 of 50 covered: closed at 0.8, left alone at 0.81.
    assert sandwiched_intervals([(0, 20), (30, 50)], 0.8) == [(0, 50)]
    assert sandwiched_intervals([(0, 20), (30, 50)], 0.81) == [(0, 20), (30, 50)]
    # From the left, 10 of 30 is too little; from the right, 109 of 130 is enough.
    assert sandwiched_intervals([(0, 5), (25, 30), (31, 130)], 0.8) == [(0, 130)]
    assert sandwiched_intervals([(0, 10), (30, 40), (40, 140)], 0.9) == [(0, 10), (30, 140)]
    assert sandwiched_intervals([(0, 10), (20, 25), (26, 126)], 0.85) == [(0, 126)]


def test_no_character_is_cut_in_two():
    text = "aéb€c".encode()  # a, é 1–2, b 3, € 4–6, c 7
    assert clipped(text, [(2, 5)]) == [(3, 4)]
    assert clipped(text, [(1, 7), (-3, 1), (7, 99), (5, 6)]) == [(1, 7), (0, 1), (7, 8)]
    assert cut(text, [(1, 3), (4, 7)]) == b"abc"


def test_what_only_touches_is_weighed_by_itself():
    # From the left 10 of 30 is too little before 100 more come; from the right it is one.
    assert merge_intervals([(0, 3), (3, 5), (4, 9)], -1) == [(0, 3), (3, 9)]
    assert sandwiched_intervals([(0, 5), (25, 30), (30, 130)], 0.8) == [(0, 130)]


MARKS = ("paragraphs", "newlines", "sentences")


@settings(max_examples=500)
@given(
    st.text("ab.\n", max_size=14).map(str.encode),
    st.integers(0, 14),
    st.integers(0, 5),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_an_end_moves_to_the_nearest_boundary(text, place, width, wanted):
    place = min(place, len(text))
    paragraphs, newlines, sentences = wanted

    def marks(part):
        pattern = "|".join(
            p for p, on in ((r"\n\n", paragraphs), (r"\n", newlines), (r"\.", sentences)) if on
        )
        spans = [m.span() for m in re.finditer(pattern, part.decode())] if pattern else []
        return [p for span in spans for p in range(*span)]

    before, after = text[max(place - width, 0) : place], text[place : place + width]
    ends = [place - len(before) + p for p in marks(before)][-1:]
    ends += [place - len(before)] if not ends and len(before) < width else []
    starts = [place + p + 1 for p in marks(after)][:1]
    starts += [place + len(after)] if not starts and len(after) < width else []
    expected = min([*ends, *starts], key=lambda p: abs(p - place), default=place)
    found = nearest_boundary(text, place, width, **dict(zip(MARKS, wanted, strict=True)))
    assert found == expected
