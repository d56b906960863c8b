"""Byte ranges are merged, closed, moved and cut out."""

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


def test_an_end_moves_to_the_boundary_of_the_highest_kind():
    text = b"One. Two three.\nFour five six.\n\nSeven eight nine ten."
    every = {"paragraphs": True, "newlines": True, "sentences": True}
    assert nearest_boundary(text, 20, 15, **every) == 32
    assert nearest_boundary(text, 20, 15, **every | {"paragraphs": False}) == 16
    assert nearest_boundary(text, 10, 5, **every | {"newlines": False}) == 5
    assert nearest_boundary(text, 10, 4, **every) == 10
    assert nearest_boundary(text, 50, 5, **every) == len(text)
