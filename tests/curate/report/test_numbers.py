"""Numbers as people read them."""

import pytest

from olmoflow.curate.report.numbers import change, count, duration, share


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "", "0"),
        (9999, "", "9\u202f999"),
        (12345, "", "12.3 k"),
        (999_960, "", "1.00 M"),
        (99_960, "", "100 k"),
        (252_600_000_000, "", "253 B"),
        (0.25, "", "0.25"),
        (512, "bytes", "512 B"),
        (1_234_567, "bytes", "1.23 MB"),
    ],
)
def test_counts(value, unit, text):
    assert count(value, unit) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (100, 100, "unchanged"),
        (100, 75, "−25 %"),
        (8, 9, "+12.5 %"),
        (100_000, 99_999, "−0.001 %"),
        (10_000_000, 9_999_999, "−<0.001 %"),
        (100_000, 10, "−99.99 %"),
        (100, 0, "−100 %"),
        (0, 5, "new"),
        (100, 300, "+200 %"),
        (421, 1132, "+168.9 %"),
    ],
)
def test_changes(before, after, text):
    assert change(before, after) == text


def test_shares_and_times():
    assert (share(1, 3), share(1, 0)) == ("33.3 %", "–")
    assert [duration(s) for s in (0.25, 5, 300, 9000)] == ["250 ms", "5.0 s", "5.0 min", "2.5 h"]
