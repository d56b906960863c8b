"""FLOPs, bytes on the links, and how far predictions are from what was published."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.plan.calibration import FITTED, ROWS, compare, fit
from olmoflow.plan.communication import collectives
from olmoflow.train.activation_checkpointing import ActivationCheckpointing

BUDGET = ActivationCheckpointing("budget", budget=0.5)
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "plan.md"


@pytest.mark.parametrize(
    ("size", "length", "published"),
    [("7B", 8192, 49.38), ("32B", 8192, 210.45), ("7B", 65_536, 71.93), ("32B", 65_536, 266.82)],
)
def test_flops_per_token_are_those_behind_the_published_mfu(size, length, published):
    model = next(row.job.model for row in ROWS if row.name.startswith(size))
    assert model.flops_per_token(length) / 1e9 == pytest.approx(published, abs=0.01)


def test_bytes_on_the_links_of_the_7b():
    """7.3B parameters on 64 × 8: gathered within nodes, reduced between them."""
    job = ROWS[0].job
    root = 2 * 100_352 * 4096 + 4096
    total = job.model.num_parameters
    gather, scatter, reduce = collectives(job)
    assert gather.intra_node == 2 * (2 * (total - root) + root) * 7 / 8
    assert scatter.intra_node == 4 * total * 7 / 8
    assert reduce.inter_node == pytest.approx(2 * 4 * total / 8 * 63 / 64)
    assert (gather.inter_node, scatter.inter_node, reduce.intra_node) == (0, 0, 0)


def test_a_second_micro_batch_gathers_and_scatters_again_but_reduces_once():
    job = ROWS[0].job
    once, twice = collectives(job), collectives(replace(job, global_batch_tokens=2**23))
    ratios = [b.seconds / a.seconds for a, b in zip(once, twice, strict=True)]
    assert ratios == pytest.approx([2, 2, 1])


def test_the_link_between_nodes_carries_an_eighth_of_a_ring_through_all():
    job = next(row.job for row in ROWS if row.name == "32B pretrain")
    for collective in collectives(job)[:2]:
        assert collective.inter_node == pytest.approx(collective.intra_node / 8)


def test_one_rank_sends_nothing():
    job = replace(ROWS[0].job, mesh=Mesh())
    assert collectives(job) == []


def test_the_constants_are_those_of_the_fit():
    fitted = fit(ROWS)
    assert fitted.matmul_efficiency == pytest.approx(FITTED.matmul_efficiency, abs=1e-3)
    assert fitted.attention_efficiency == pytest.approx(FITTED.attention_efficiency, abs=1e-3)
    assert fitted.exposed == pytest.approx(FITTED.exposed, abs=1e-3)


def test_every_published_row_is_met_within_15_percent_even_left_out():
    for row in compare():
        assert abs(row.error) < 0.06, row
        assert abs(row.error_left_out) < 0.15, row


def test_the_document_has_this_table():
    shown = re.findall(r"^\| (\d+B [a-z ]+?) \|(.+)\|$", DOCUMENT.read_text(), re.M)
    expected = [
        (
            row.name,
            f" {row.published:,.0f} | {row.predicted:,.0f} | {100 * row.error:+.1f} % "
            f"| {100 * row.error_left_out:+.1f} % ",
        )
        for row in compare()
    ]
    assert shown == expected


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"global_batch_tokens": 2**22 - 8192}, "64 × 8|512 × 1 × 8192 = 4194304"),
        ({"sequence_length": 131_072}, "at most model.max_sequence_length=65536"),
        (
            {"checkpointing": ActivationCheckpointing("budget", budget=0.5), "compiled": False},
            "compile=true",
        ),
    ],
)
def test_a_job_that_cannot_run_is_an_error(changes, line):
    with pytest.raises(UserError, match=line):
        replace(ROWS[0].job, **changes)
