"""The numbers of a training config: each of the right kind before anything is computed from it.

Classes check their own arguments against their signatures (`olmoflow.commands.config.build`); these
stand in the root of the config, and budgets, batches and schedules follow from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from olmoflow.errors import UserError

WHOLE = "a positive whole number"
COUNT = "a whole number, 0 or more"
POSITIVE = "a positive number"
NOT_NEGATIVE = "a number, 0 or more"
SHARE = "a share, 0 to 1"
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
    check_each(config, _EXPECTED)


def check_each(config: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    """`check_number` of several keys of a command's config, of those that it has.

    Args:
        config: The config.
        expected: Of each key, ``GROUP.NAME`` or ``NAME``, what it should be.
    """
    for key, what in expected.items():
        group, _, name = key.rpartition(".")
        node = config[group] if group else config
        if name in node:
            check_number(key, node[name], what)


def check_number(key: str, value: Any, expected: str) -> None:
    """See that a value is what `expected` says, in the words of this module's table.

    Raises:
        UserError: It is not.
    """
    if value is None and expected.endswith("or null"):
        return
    kind = expected.removesuffix(" or null")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not _FITS[kind](value):
        raise UserError(f"{key}={value}: expected {expected}")


_FITS: Mapping[str, Callable[[float], bool]] = {
    WHOLE: lambda value: value > 0 and value == int(value),
    COUNT: lambda value: value >= 0 and value == int(value),
    POSITIVE: lambda value: value > 0,
    NOT_NEGATIVE: lambda value: value >= 0,
    SHARE: lambda value: 0 <= value <= 1,
}
