"""Runs of a few steps: what is reported, when they end, what is kept, in which arithmetic."""

import csv
import itertools
import os
import signal

import pytest
import torch
from lightning.pytorch import Trainer

from olmoflow.errors import UserError
from olmoflow.model.checkpoint import Checkpoint, list_steps
from olmoflow.series import series_steps
from olmoflow.train.adamw_8bit import AdamW8bit
from olmoflow.train.callbacks import CheckpointCadence, MetricsFile
from olmoflow.train.hardware import raised_peak
from olmoflow.train.module import StartFrom
from olmoflow.train.objectives import NextTokenPrediction
from olmoflow.train.optimizer import SkipStepAdamW
from olmoflow.train.save_policy import SavePolicy


def rows(done):
    with (done.run_dir / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_a_report_is_the_mean_of_its_steps_however_often_one_is_made(experiment):
    every = rows(experiment("every", max_steps=9, log_every=1))
    fourth = rows(experiment("fourth", max_steps=9, log_every=4))
    assert [row["step"] for row in fourth] == [4, 8, 9]
    for number, steps in enumerate((every[:4], every[4:8], every[8:])):
        for name in ("train/CE loss", "train/Z loss", "optim/total grad norm"):
            mean = sum(row[name] for row in steps) / len(steps)
            assert fourth[number][name] == pytest.approx(mean, rel=1e-6), name
        assert fourth[number]["optim/LR (group 0)"] == steps[-1]["optim/LR (group 0)"]


def test_hard_stop_leaves_the_schedule_alone_and_the_run_can_go_on(experiment):
    whole = experiment("whole", max_steps=8)
    half = experiment("half", max_steps=8, hard_stop=5)
    assert (half.result.steps, half.result.stopped) == (5, "hard_stop")
    assert len(rows(half)) == 5
    for ours, theirs in zip(rows(half), rows(whole)[:5], strict=True):
        assert ours["train/CE loss"] == theirs["train/CE loss"]
        assert ours["optim/LR (group 0)"] == theirs["optim/LR (group 0)"]
    done = experiment("half", max_steps=8)
    assert (done.result.steps, done.result.stopped) == (8, "finished")
    for (name, ours), theirs in zip(
        done.module.model.state_dict().items(),
        whole.module.model.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(ours, theirs), name


def test_permanent_checkpoints_stay_and_rolling_ones_make_room(experiment):
    steps = SavePolicy(every_steps=3, every_minutes=None, keep_last=1)
    done = experiment("steps", max_steps=10, save=steps)
    assert [c.step for c in list_steps(done.run_dir)] == [3, 6, 9, 10]
    minutes = SavePolicy(every_steps=None, every_minutes=1e-6, keep_last=2)
    done = experiment("minutes", max_steps=6, save=minutes)
    assert [c.step for c in list_steps(done.run_dir)] == [5, 6]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_last_save_costs_nothing(experiment, monkeypatch, number):
    end = CheckpointCadence.on_train_end

    def interrupted(*arguments):
        os.kill(os.getpid(), number)
        end(*arguments)

    before = signal.getsignal(number)
    monkeypatch.setattr(CheckpointCadence, "on_train_end", interrupted)
    done = experiment("interrupted", max_steps=2)
    assert (done.result.steps, done.result.stopped) == (2, "finished")
    assert [c.step for c in list_steps(done.run_dir)] == [2]
    assert signal.getsignal(number) is before


def test_older_steps_that_were_moved_away_do_not_end_a_run(experiment):
    save = SavePolicy(every_steps=2, every_minutes=None, keep_last=1)
    first = experiment("run", max_steps=8, hard_stop=5, save=save)
    for file in (first.run_dir / "steps" / "step-00000002").iterdir():
        file.unlink()
    done = experiment("run", max_steps=8, save=save)
    assert done.result.steps == 8
    assert series_steps(done.run_dir) == [2, 4, 6, 8]


def test_a_step_that_cannot_be_removed_whole_is_none(experiment, monkeypatch):
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # a kill, or a file in use
    save = SavePolicy(every_steps=None, every_minutes=1e-6, keep_last=1)
    done = experiment(max_steps=3, save=save)
    assert series_steps(done.run_dir) == [3]


def test_only_one_rank_touches_the_metrics_of_a_resumed_run(experiment, monkeypatch):
    experiment("run", max_steps=4, hard_stop=2)
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    monkeypatch.setattr(MetricsFile, "resume_at", None)  # would race with that of rank 0
    assert experiment("run", max_steps=4).result.steps == 4


class _SpoiltOnce(NextTokenPrediction):
    """The third step's gradient is no number."""

    def __call__(self, model, batch):
        terms = super().__call__(model, batch)
        if next(self.calls) == 2:
            terms.loss_sum = terms.loss_sum * torch.nan
        return terms


@pytest.mark.parametrize("optimizer", [SkipStepAdamW, AdamW8bit])
def test_a_run_sits_out_a_step_that_went_wrong(experiment, optimizer):
    objective = _SpoiltOnce()
    object.__setattr__(objective, "calls", itertools.count())
    done = experiment(
        max_steps=5,
        micro=8,
        objective=objective,
        optimizer=lambda groups: optimizer(groups, lr=3e-3),
    )
    assert [row["optim/step skipped"] for row in rows(done)] == [0, 0, 1, 0, 0]
    # The fourth step finds the weights that the third one found.
    assert all(weights.isfinite().all() for weights in done.module.model.parameters())
    (optimizer,) = done.module.trainer.optimizers
    assert {int(state["step"]) for state in optimizer.state.values()} == {4}


def test_bfloat16_learns_as_float32_does(experiment):
    full = rows(experiment("float32", max_steps=6))
    half = rows(experiment("bf16", max_steps=6, module_options={"compute_dtype": torch.bfloat16}))
    assert [r["train/CE loss"] for r in half] == pytest.approx(
        [r["train/CE loss"] for r in full], abs=0.02
    )
    assert half[-1]["train/CE loss"] < half[0]["train/CE loss"] - 0.05


def test_compiled_blocks_learn_as_uncompiled_ones_do(experiment):
    small = {"n_layers": 1}
    plain = rows(experiment("plain", max_steps=2, config=small))
    compiled = experiment(
        "compiled", max_steps=2, config=small, module_options={"compile_blocks": True}
    )
    assert [r["train/CE loss"] for r in rows(compiled)] == pytest.approx(
        [r["train/CE loss"] for r in plain], rel=1e-5
    )
    keys = Checkpoint.open(list_steps(compiled.run_dir)[-1].path).tensor_names()
    assert not [key for key in keys if "_orig_mod" in key]


def test_a_new_run_takes_weights_and_where_wanted_moments_but_no_step(experiment):
    first = experiment("first", max_steps=3)
    checkpoint = Checkpoint.open(list_steps(first.run_dir)[-1].path)
    with_moments = experiment("with", max_steps=1, start_from=StartFrom(checkpoint, optimizer=True))
    without = experiment("without", max_steps=1, start_from=StartFrom(checkpoint))
    assert with_moments.result.steps == without.result.steps == 1
    # The loss of the first step is that of the weights, whatever the optimizer brought.
    assert rows(with_moments)[0]["train/CE loss"] == rows(without)[0]["train/CE loss"]
    assert rows(without)[0]["train/CE loss"] < rows(first)[0]["train/CE loss"]

    def moments(done):
        (optimizer,) = done.module.trainer.optimizers
        return [int(state["step"]) for state in optimizer.state.values()]

    assert set(moments(with_moments)) == {4}
    assert set(moments(without)) == {1}


def test_weights_that_are_read_are_not_drawn_before(experiment, monkeypatch):
    first = experiment("first", max_steps=3, hard_stop=1)
    monkeypatch.setattr("olmoflow.train.module.initialise", None)
    assert experiment("first", max_steps=3).result.steps == 3
    checkpoint = Checkpoint.open(list_steps(first.run_dir)[-1].path)
    assert experiment("other", max_steps=1, start_from=StartFrom(checkpoint)).result.steps == 1


def test_weights_of_another_shape_are_refused(experiment):
    first = experiment("first", max_steps=1)
    checkpoint = Checkpoint.open(list_steps(first.run_dir)[-1].path)
    with pytest.raises(UserError, match=r"ffn_hidden_size|mlp|feed_forward|w1"):
        experiment("other", config={"ffn_hidden_size": 96}, start_from=StartFrom(checkpoint))


def test_mfu_stays_below_one_where_the_peak_was_measured_on_a_busy_machine(experiment, monkeypatch):
    reporter = "olmoflow.train.callbacks.reporter"
    monkeypatch.setattr(f"{reporter}.peak_flops", lambda *_: 1e3)  # next to nothing was left
    for row in rows(experiment(max_steps=3)):
        assert 0 < row["throughput/device/MFU"] <= 100
        assert 0 < row["throughput/device/MFU (actual avg)"] <= 100


def test_a_peak_is_raised_by_measuring_again_and_never_below_what_was_reached():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert raised_peak(2e15, 1e15, cpu, torch.float32) == 2e15
    assert raised_peak(1.0, 2.0, cpu, torch.float32) > 1e8
    assert raised_peak(1e20, 2e20, cpu, torch.float32) == 2e20
    assert raised_peak(1e15, 2e15, gpu, torch.float32) == 1e15  # a data sheet's stands
