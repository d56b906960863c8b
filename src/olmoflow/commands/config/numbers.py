"""The numbers of a training config: each of the right kind before anything is computed from it.

Classes check their own arguments against their signatures (`olmoflow.commands.config.build`); these
stand in the root of the config, and budgets, batches and schedules follow from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from olmoflow.errors import UserError

WHOLE = "a positive whole number"
COUNT = "a whole number, 0 or more"
POSITIVE = "a positive number"
# With `or null`, null is allowed.
_EXPECTED = {
    "sequence_length": WHOLE,
    "global_batch_tokens": WHOLE,
    "global_batch_pairs": f"{WHOLE} or null",
    "max_tokens": f"{POSITIVE} or null",
    "epochs": f"{POSITIVE} or null",
    "max_steps": WHOLE,
    "warmup": COUNT,
    "hard_stop": f"{WHOLE} or null",
    "max_grad_norm": f"{POSITIVE} or null",
    "init_seed": COUNT,
    "data_seed": COUNT,
    "log_every": WHOLE,
    "save.every_steps": f"{WHOLE} or null",
    "save.every_minutes": f"{POSITIVE} or null",
    "save.keep_last": COUNT,
    "runtime.micro_batch_sequences": WHOLE,
    "runtime.num_workers": COUNT,
    "runtime.cache_bytes": POSITIVE,
}


def check_numbers(config: Mapping[str, Any]) -> None:
    """See that the root's numbers are numbers.

    Raises:
        UserError: One is not, or is too small; it names the key.
    """
    for key, expected in _EXPECTED.items():
        group, _, name = key.rpartition(".")
        node = config[group] if group else config
        if name in node:
            check_number(key, node[name], expected)


def check_number(key: str, value: Any, expected: str) -> None:
    """See that a value is what `expected` says, in the words of this module's table.

    Raises:
        UserError: It is not.
    """
    if value is None and expected.endswith("or null"):
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = POSITIVE not in expected
    least_fits = number and (value >= 0 if expected == COUNT else value > 0)
    if not least_fits or not math.isfinite(value) or (whole and value != int(value)):
        raise UserError(f"{key}={value}: expected {expected}")
