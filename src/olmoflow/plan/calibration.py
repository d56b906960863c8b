"""The roofline's constants, fitted to the throughput that Ai2 published for its six base runs.

Olmo 3 paper (arXiv 2512.13961), Table 34: tokens per second and GPU at the end of each phase, on
nodes of 8 H100 with 200 Gbit/s per GPU between them. `FITTED` is what `fit(ROWS)` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3Config
from olmoflow.plan.job import Hardware, Job
from olmoflow.plan.roofline import Constants, Executed, terms
from olmoflow.train.activation_checkpointing import ActivationCheckpointing

BEST_MATMUL = 0.80
"""What large bf16 products reach of an H100's data sheet at best. Left free, the fit wants 1.0:
with matrix products and communication growing together, six rows cannot tell them apart."""

H100 = Hardware("h100x8", 8, 79.6, 4.0, 989.5, 3350.0, 450.0, 25.0, 2.0)
_7B = Olmo3Config(
    100_352, 4096, 32, n_heads=32, n_kv_heads=32, ffn_hidden_size=11_008, max_sequence_length=65_536
)
_32B = Olmo3Config(
    100_352, 5120, 64, n_heads=40, n_kv_heads=8, ffn_hidden_size=27_648, max_sequence_length=65_536
)


@dataclass(frozen=True)
class Published:
    """A run with its throughput.

    Attributes:
        name: Size and stage.
        job: The run.
        executed: What `memory.trace` says of it. Attention is never computed twice, since OLMo-core
            keeps the compiler, and with it the memory budget, away from it.
        tokens_per_second: Per GPU.
    """

    name: str
    job: Job
    executed: Executed
    tokens_per_second: float

    @property
    def seconds(self) -> float:
        """Of a step."""
        return self.job.micro_batches * self.job.rank_tokens / self.tokens_per_second


def _job(model: Olmo3Config, mesh: Mesh, batch: int, **settings: object) -> Job:
    length = 65_536 if mesh.context > 1 else 8192
    return Job(model, mesh, H100, length, batch, batch, **settings)  # type: ignore[arg-type]


_FEED_FORWARD = ActivationCheckpointing("modules", ("blocks.*.feed_forward",))
_HALF, _THIRD = (ActivationCheckpointing("budget", budget=share) for share in (0.5, 0.3))
ROWS = (
    # The script's micro-batch of 2 sequences does not divide 512 sequences on 512 ranks.
    Published("7B pretrain", _job(_7B, Mesh(64, 8), 2**22), Executed(41.32e9), 7700),
    Published(
        "7B midtrain",
        _job(_7B, Mesh(16, 8), 2**21, micro_batch=2, checkpointing=_FEED_FORWARD),
        Executed(49.98e9),
        8500,
    ),
    Published(
        "7B long context",
        _job(_7B, Mesh(32, 1, 8), 2**22, float8=True, keys_gathered_twice=True),
        Executed(41.32e9),
        4000,
    ),
    Published(
        "32B pretrain",
        _job(_32B, Mesh(16, 64), 2**23, checkpointing=_HALF),
        Executed(208.44e9),
        2000,
    ),
    Published(
        "32B midtrain",
        _job(_32B, Mesh(8, 64), 2**22, checkpointing=_HALF),
        Executed(208.44e9),
        2000,
    ),
    Published(
        "32B long context",
        _job(_32B, Mesh(16, 8, 8), 2**23, checkpointing=_THIRD, keys_gathered_twice=True),
        Executed(215.15e9),
        1300,
    ),
)

FITTED = Constants(matmul_efficiency=0.8, attention_efficiency=0.195, exposed=0.7316)


def fit(rows: Sequence[Published]) -> Constants:
    """The constants with the least squared relative error of the step's seconds.

    The step is linear in 1 / efficiency and in the exposed share, which are bounded: the matrix
    products' by `BEST_MATMUL`, the others by 0 and 1.
    """
    nominal = [terms(row.job, row.executed) for row in rows]
    seconds = np.array([row.seconds for row in rows])
    matrix = np.array([[t.matmul, t.attention, t.communication] for t in nominal])
    matrix = matrix / seconds[:, None]
    rest = 1 - np.array([t.optimizer for t in nominal]) / seconds
    lower, upper = np.array([1 / BEST_MATMUL, 1.0, 0.0]), np.array([np.inf, np.inf, 1.0])
    best, least = None, np.inf
    # The best point lies where some of the three are free and the others at one of their bounds.
    for at in product((None, lower, upper), repeat=3):
        x = np.array([0.0 if bound is None else bound[i] for i, bound in enumerate(at)])
        free = [i for i, bound in enumerate(at) if bound is None]
        if not np.isfinite(x).all():
            continue
        x[free] = np.linalg.lstsq(matrix[:, free], rest - matrix @ x, rcond=None)[0]
        error = float(((matrix @ x - rest) ** 2).sum())
        if error < least and (x >= lower - 1e-9).all() and (x <= upper + 1e-9).all():
            best, least = x, error
    assert best is not None
    return Constants(float(1 / best[0]), float(1 / best[1]), float(best[2]))


@dataclass(frozen=True)
class Compared:
    """A row of the table: throughput per GPU, and relative errors of the prediction.

    Attributes:
        name: Size and stage.
        published: Tokens per second.
        predicted: By the constants fitted to all rows.
        error: Of that, as a share.
        error_left_out: Of the prediction by constants fitted to the other rows.
    """

    name: str
    published: float
    predicted: float
    error: float
    error_left_out: float


def compare(rows: Sequence[Published] = ROWS) -> list[Compared]:
    """Prediction against publication, row by row, with the row in the fit and left out of it."""
    constants = fit(rows)
    table = []
    for row in rows:
        others = fit([other for other in rows if other is not row])
        predicted, left_out = (_tokens_per_second(row, c) for c in (constants, others))
        published = row.tokens_per_second
        errors = predicted / published - 1, left_out / published - 1
        table.append(Compared(row.name, published, predicted, *errors))
    return table


def _tokens_per_second(row: Published, constants: Constants) -> float:
    return row.tokens_per_second * row.seconds / constants.seconds(terms(row.job, row.executed))
