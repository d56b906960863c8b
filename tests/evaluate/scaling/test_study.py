"""A study of a synthetic ladder: predictions, their errors, intervals and the page that says so."""

import statistics

import numpy as np
import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.scaling import PowerLaw, Rung, Settings, Sigmoid, study_ladder
from olmoflow.evaluate.scaling.page import by_setting, fit_errors, noise, page
from olmoflow.evaluate.scaling.plot import draw_study, short
from olmoflow.evaluate.scaling.study import leave_largest_out, resample

ND = ("parameters", "tokens")
LAW = PowerLaw(ND, 0.45, (60.0, 90.0), (0.3, 0.28))
CURVE = Sigmoid(0.7, 0.65, -9.0, 0.25)
NOISE = 0.002
TARGET = (6.9e9, 3.9e12)
QUICK = Settings(starts=3, resamples=8)


def ladder(sizes=(190e6, 371e6, 758e6, 1279e6), *, accuracy=True, seeds=2):
    generator = np.random.default_rng(0)
    rungs = []
    for n in sizes:
        for m in (1, 2, 5, 10):
            for seed in range(seeds):
                loss = float(LAW.predict(np.array([[n, 20 * n * m]]))[0])
                loss *= float(np.exp(NOISE * generator.normal()))
                right = float(CURVE.predict(np.array([loss]))[0]) if accuracy else None
                rungs.append(Rung(f"{short(n)}-{m}-{seed}", (n, 20 * n * m), loss, right))
    return rungs


def measured(values):
    return [
        Rung(f"held-{i}", TARGET, v, float(CURVE.predict(np.array([v]))[0]))
        for i, v in enumerate(values)
    ]


@pytest.fixture(scope="module")
def study():
    truth = float(LAW.predict(np.array([TARGET]))[0])
    held_out = measured([truth * 0.999, truth * 1.001])
    return study_ladder(ladder(), ND, held_out=held_out, settings=QUICK)


def test_the_next_size_is_predicted_by_both_steps(study):
    (forecast,) = study.forecasts
    truth = float(LAW.predict(np.array([TARGET]))[0])
    assert forecast.loss.predicted == pytest.approx(truth, rel=0.02)
    assert forecast.loss.mean == pytest.approx(truth)
    assert forecast.loss.error == pytest.approx(forecast.loss.predicted / truth - 1)
    assert forecast.loss.noise == pytest.approx(0.001 * 2**0.5)
    chained = study.fit.sigmoid.predict(np.array([forecast.loss.predicted]))[0]
    assert forecast.accuracy.predicted == pytest.approx(float(chained))
    right = float(CURVE.predict(np.array([truth]))[0])
    assert forecast.accuracy.predicted == pytest.approx(right, abs=0.02)


def test_without_a_law_the_nearest_rungs_are_the_forecast(study):
    (forecast,) = study.forecasts
    nearest = [r.loss for r in study.rungs if r.x == (1279e6, 200 * 1279e6)]
    assert forecast.nearest == pytest.approx(statistics.fmean(nearest))
    assert abs(forecast.nearest_error) > 5 * abs(forecast.loss.error)


def test_the_interval_is_of_the_noise_of_the_runs(study):
    low, high = study.forecasts[0].loss.interval
    assert low < study.forecasts[0].loss.predicted < high
    assert 0 < high - low < 0.1
    without = study_ladder(ladder(), ND, targets=[TARGET], settings=Settings(3, 2, 0))
    assert without.forecasts[0].loss.interval is None


def test_held_out_runs_change_no_fit(study):
    same = study_ladder(ladder(), ND, held_out=measured([9.9]), settings=QUICK)
    assert same.fit == study.fit
    assert same.forecasts[0].loss.predicted == study.forecasts[0].loss.predicted


def test_the_largest_size_is_predicted_by_the_others(study):
    assert {f.x[0] for f in study.left_out} == {1279e6}
    assert len(study.left_out) == 4
    assert all(len(f.loss.measured) == 2 for f in study.left_out)
    assert statistics.fmean(abs(f.loss.error) for f in study.left_out) < 0.01
    changed = [Rung(r.name, r.x, r.loss * 2) if r.x[0] == 1279e6 else r for r in study.rungs]
    plain = [Rung(r.name, r.x, r.loss) for r in changed]
    again = leave_largest_out(plain, ND, QUICK)
    ours = [f.loss.predicted for f in study.left_out]
    assert [f.loss.predicted for f in again] == pytest.approx(ours)


def test_three_sizes_cannot_spare_one():
    study = study_ladder(ladder((190e6, 371e6, 758e6)), ND, settings=QUICK)
    assert not study.left_out
    assert study.refused.startswith("scaling: parameters take 2 values")
    text = page(study, "T", "bits per byte", "accuracy", [])
    assert "Without the largest parameters the runs determine no law: parameters take 2" in text


def test_the_bootstrap_is_the_same_for_a_seed():
    rungs = ladder(accuracy=False)
    a, b = (resample(rungs, ND, Settings(starts=2, seed=s), 3) for s in (0, 0))
    assert a == b
    assert resample(rungs, ND, Settings(starts=2, seed=1), 3) != a


def test_some_accuracies_are_not_enough():
    rungs = ladder()
    rungs[5] = Rung("lost", rungs[5].x, rungs[5].loss)
    with pytest.raises(UserError, match="lost has no accuracy"):
        study_ladder(rungs, ND, settings=QUICK)


def test_noise_is_pooled_over_settings():
    assert noise([[0.99, 1.01], [5.0]]) == pytest.approx(0.01 * 2**0.5)
    assert noise([[1.01], [5.0]]) is None
    losses = [[run.loss for run in runs] for runs in by_setting(ladder()).values()]
    assert noise(losses) == pytest.approx(NOISE, rel=0.5)


def test_the_page_says_what_was_predicted_and_how_far_off(study, tmp_path):
    plots = draw_study(study, "bits per byte", "accuracy", tmp_path)
    assert [p.name for p in plots] == ["law.png", "accuracy.png", "predictions.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in plots)
    text = page(study, "My ladder", "bits per byte", "accuracy", plots)
    assert text.startswith("# My ladder\n\n## Prediction\n\n**bits per byte**")
    (forecast,) = study.forecasts
    assert f"| 6.9B | 3.9T | {forecast.loss.predicted:.4f} |" in text
    assert f"{forecast.loss.mean:.4f} (n = 2) | {forecast.loss.error:+.2%} | 0.14% |" in text
    assert " of 1 errors are within twice that" in text
    assert "L = E + A/N^α + B/D^β" in text
    assert f"Mean error of the fitted runs {statistics.fmean(fit_errors(study)):.2%}" in text
    assert all(f"]({p.name})" in text for p in plots)


def test_a_law_of_compute_has_its_own_form(tmp_path):
    rungs = [Rung(r.name, (6 * r.x[0] * r.x[1],), r.loss) for r in ladder()]
    study = study_ladder(rungs, ("compute",), targets=[(1.6e23,)], settings=QUICK)
    assert [p.name for p in draw_study(study, "loss", None, tmp_path)] == [
        *("law.png", "predictions.png")
    ]
    text = page(study, "C", "loss", None, [])
    assert "L = E + A/C^α" in text
    assert "| 1.6e+23 |" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(33_040, "33k"), (1.279e9, "1.28B"), (4e12, "4T"), (1.6e23, "1.6e+23"), (566.237, "566")],
)
def test_counts_are_short(value, text):
    assert short(value) == text


def test_settings_that_fit_nothing():
    with pytest.raises(UserError, match=r"fit.starts=0: expected more than 0"):
        Settings(starts=0)
    with pytest.raises(UserError, match=r"fit.resamples=-1: expected 0 or more"):
        Settings(resamples=-1)
