"""Differences from a baseline are over pairs of the same seeds."""

import math

import pytest

from olmoflow.errors import UserError
from olmoflow.report import Run, gather
from olmoflow.report.differences import differences, find_baseline, student_t
from olmoflow.report.write import markdown, write_report


def runs(scores):
    """By mixture, a run a seed."""
    for mixture, values in scores.items():
        for seed, value in values.items():
            config = {"init_seed": seed, "data_seed": 0}
            overrides = {"mixture": mixture, "init_seed": str(seed)}
            yield Run(f"{mixture}-{seed}", overrides, config, {"bpb": value}, None)


SCORES = {
    "k/prior": {1: 2.0, 2: 2.4, 3: 2.2},
    "k/proposal": {1: 1.9, 2: 2.28, 3: 2.09, 4: 9.0},
    "k/other": {1: 2.5},
}


def test_what_is_common_to_a_pair_goes_away():
    report = gather(list(runs(SCORES)), title="t", metrics=["bpb"])
    base = find_baseline(report, "*/prior")
    found = {row.label: each["bpb"] for row, each in differences(report, base)}
    other, proposal = found["mixture=k/other"], found["mixture=k/proposal"]
    assert proposal.n == 3  # seed 4 has no partner
    assert proposal.mean == pytest.approx(-0.11)
    assert proposal.std == pytest.approx(0.01)
    assert proposal.half_width == pytest.approx(4.3027 * 0.01 / math.sqrt(3))
    assert (proposal.lower, proposal.verdict) == (3, "lower")
    assert (other.n, other.std, other.half_width) == (1, None, None)
    assert other.verdict == "one pair tells nothing of the noise"


def test_noise_is_called_noise_and_the_page_says_it(tmp_path):
    noisy = {"k/prior": {1: 2.0, 2: 2.4}, "k/proposal": {1: 1.9, 2: 2.45}}
    report = gather(list(runs(noisy)), title="t", metrics=["bpb"])
    write_report(report, tmp_path, [], baseline="*/prior", about=["## First\n"])
    text = (tmp_path / "report.md").read_text()
    assert text.index("## First") < text.index("## mixture=k/proposal against mixture=k/prior")
    assert "-0.0250 ± 0.1061 | -0.9780 … +0.9280 | 1 of 2 | no difference can be told" in text
    assert text.index("against") < text.index("## All rows")
    assert "## All rows" not in markdown(report)


def test_a_baseline_is_one_row():
    report = gather(list(runs(SCORES)), title="t", metrics=["bpb"])
    with pytest.raises(UserError, match=r"baseline=\*/pr\*: fits 2 rows; expected a pattern"):
        find_baseline(report, "*/pr*")
    with pytest.raises(UserError, match="baseline=x: fits 0 rows"):
        find_baseline(report, "x")


@pytest.mark.parametrize(("degrees", "t"), [(1, 12.7062), (10, 2.2281), (11, 2.2010), (30, 2.0423)])
def test_student_is_that_of_the_tables(degrees, t):
    assert student_t(degrees) == pytest.approx(t, abs=2e-3)
