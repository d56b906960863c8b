"""Exact match and F1 of SQuAD and DROP, by hand."""

import pytest

from olmoflow.evaluate.metrics.answers import (
    drop_metrics,
    drop_normal,
    squad_metrics,
)


@pytest.mark.parametrize(
    ("said", "references", "exact_match", "f1", "recall"),
    [
        ("The cat.", ["cat", "dog"], 1.0, 1.0, 1.0),
        ("a big black cat", ["black cat"], 0.0, 0.8, 1.0),  # 2 of 3 words, 2 of 2
        ("cat cat", ["cat"], 0.0, 2 / 3, 1.0),  # words count as often as they are said
        ("bird", ["cat", "dog"], 0.0, 0.0, 0.0),
        ("", ["cat"], 0.0, 0.0, 0.0),
        ("---", ["--"], 1.0, 1.0, 1.0),  # nothing is left of either
        ("He moved to New-York", ["new york", "newyork"], 0.0, 0.4, 0.0),  # 1 of 4, 1 of 1
    ],
)
def test_squad(said, references, exact_match, f1, recall):
    assert squad_metrics(said, references) == pytest.approx(
        {"exact_match": exact_match, "f1": f1, "recall": recall}
    )


def test_drops_normalisation():
    assert drop_normal("The 1,507 well-known men of 12.50 and $3") == (
        "1507.0 well known men of 12.5 and 3.0"
    )


@pytest.mark.parametrize(
    ("said", "references", "exact_match", "f1"),
    [
        ("1507", [["1507"], ["1477"]], 1.0, 1.0),
        ("1,507 people", [["1507"]], 0.0, 0.67),
        ("1508", [["1507 people"]], 0.0, 0.0),
        ("1508 people", [["1507 people"]], 0.0, 0.0),  # a wrong number is wrong altogether
        ("Spain", [["Spain", "Italy"]], 0.0, 0.5),  # one span of two
        ("Spain Italy", [["Spain", "Italy"]], 0.0, 0.33),  # (2/3 + 0) / 2
        ("June", [["Spain"], ["June 1344", "May"], ["the June"]], 1.0, 1.0),
        ("", [["Spain"]], 0.0, 0.0),
    ],
)
def test_drop(said, references, exact_match, f1):
    assert drop_metrics(said, references) == {"exact_match": exact_match, "f1": f1}


def test_a_drop_question_without_an_answer_is_an_error_and_no_zero():
    with pytest.raises(ValueError, match="no reference answer"):
        drop_metrics("1", [[" "]])
