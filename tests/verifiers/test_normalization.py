"""One spelling for equal answers, found in no time whatever a model wrote."""

import pytest

from olmoflow.verifiers import normalization


@pytest.mark.parametrize(
    ("answer", "spelled"),
    [
        ("5 cm", "5"),
        ("12 miles per hour", "12"),
        ("3 sq. ft.", "3"),
        ("5 square cm^2", "5"),
        ("5 years. ", "5"),
        (r"7\frac12 feet", r"7\frac{1}{2}"),
        ("10 per hour", "10perhour"),
    ],
)
def test_units_behind_a_number_do_not_count(answer, spelled):
    assert normalization.math(answer) == spelled


@pytest.mark.parametrize(
    ("answer", "spelled"),
    [(".5", ".5"), (" .5 cm.", ".5"), ("5.", "5"), ("...x. ", "x"), ("$.25$", ".25"), (". 5", "5")],
)
def test_full_stops_go_and_decimal_points_stay(answer, spelled):
    assert normalization.math(answer) == spelled


@pytest.mark.parametrize(
    "answer",
    [
        "5 " + "." * 20_000 + "x",
        "." * 50_000 + "5x",
        "5 " + "cm " * 600 + "x",
        "5 " + "feet  per hour. " * 600 + "x",
        "5" + ")" * 50_000 + " " * 50_000 + "x",
    ],
    ids=lambda answer: repr(answer[:12]),
)
def test_any_answer_is_spelled_at_once(answer):
    """Nothing watches over this step: with two ways to match a space it would take forever."""
    assert normalization.math(answer).endswith("x")
