"""Comparisons in tests that a program cannot answer itself.

Tests compare with ``==``, which an object may have say yes to everything. `guarded` has a test's
``assert a == b`` compare twice: with what the test says, and with something that nothing can be
equal to (`compare`, inside the sandbox). An object that equals both has decided the test by itself,
and the test fails.
"""

from __future__ import annotations

from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "__equal__"
DEPTH = 4
LOOKED_AT = 1000
PLAIN = (int, float, complex, str, bytes, bool, type(None))
CONTAINERS = (list, tuple, set, frozenset)


def compare(one: Any, other: Any) -> Any:
    """``one == other``, unless one of them equals everything.

    Raises:
        AssertionError: It does.
    """
    result = one == other
    for value in (one, other):
        if _equals_all(value, DEPTH):
            raise AssertionError("an object that equals everything")
    return result


def _equals_all(value: Any, depth: int) -> bool:
    """Whether a value, or one in it, equals an object made a moment ago."""
    kind = type(value)
    if kind in PLAIN or depth == 0:
        return False
    if kind in CONTAINERS:
        return any(_equals_all(one, depth - 1) for one in islice(value, LOOKED_AT))
    if kind is dict:
        return any(_equals_all(one, depth - 1) for one in islice(value.values(), LOOKED_AT))
    try:
        return any((value == stranger) is True for stranger in (object(), 2**70 + 1, "\0stranger"))
    except Exception:
        return False
