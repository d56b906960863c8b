"""Products of a query with keys and sums of values, a head at a time in vector registers.

As loops in numba both keep their sums in memory: LLVM does not know that nothing else lies there,
and waits for each sum to be written before it reads it again. Here a head is one vector, which LLVM
cuts into registers of the processor at hand.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

from olmoflow.inference.native.compiled.fetching import fetch

_code: Any = cgutils  # has no types
_INT, _LONG, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_FAST = ("reassoc", "contract", "nsz")


@intrinsic(prefer_literal=True)
def _score_keys(typing: Any, query: Any, keys: Any, scores: Any, ahead: Any, width: Any) -> Any:
    """Products of a query, [width] fp32, with each of len(scores) keys, [slots * width].

    Meanwhile as much is fetched from the address `ahead`, which need not be anybody's.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        query, keys, scores = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
        )
        vector = ir.VectorType(_FLOAT, width.literal_value)
        one = _load(builder, query.data, _LONG(0), types.float32, vector)
        add_up = _add_up(builder, vector)
        with _code.for_range(builder, scores.nitems) as loop:
            _fetch(builder, arguments[3], loop.index, signature.args[1].dtype, vector)
            key = _load(builder, keys.data, loop.index, signature.args[1].dtype, vector)
            product = builder.fmul(one, key, flags=_FAST)
            score = builder.call(add_up, [_FLOAT(0.0), product], fastmath=_FAST)
            builder.store(score, builder.gep(scores.data, [loop.index]))
        return context.get_dummy_value()

    return types.void(query, keys, scores, types.int64, width), generate


@intrinsic(prefer_literal=True)
def _weigh_values(typing: Any, weights: Any, values: Any, out: Any, ahead: Any, width: Any) -> Any:
    """Sum of len(weights) values, [slots * width], by their weights, into [width] fp32.

    Meanwhile as much is fetched from `ahead`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, values, out = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
        )
        vector = ir.VectorType(_FLOAT, width.literal_value)
        total = _code.alloca_once_value(builder, ir.Constant(vector, [0.0] * vector.count))
        with _code.for_range(builder, weights.nitems) as loop:
            _fetch(builder, arguments[3], loop.index, signature.args[1].dtype, vector)
            value = _load(builder, values.data, loop.index, signature.args[1].dtype, vector)
            weight = _broadcast(
                builder, builder.load(builder.gep(weights.data, [loop.index])), vector
            )
            product = builder.fmul(weight, value, flags=_FAST)
            builder.store(builder.fadd(builder.load(total), product, flags=_FAST), total)
        target = builder.bitcast(out.data, vector.as_pointer())
        builder.store(builder.load(total), target, align=4)
        return context.get_dummy_value()

    return types.void(weights, values, out, types.int64, width), generate


score_keys: Any = _score_keys
weigh_values: Any = _weigh_values


def _fetch(builder: Any, ahead: Any, number: Any, dtype: Any, vector: Any) -> None:
    """Ask memory for the vector with a number behind an address, which is needed later."""
    size = vector.count * dtype.bitwidth // 8
    fetch(builder, builder.add(ahead, builder.mul(number, _LONG(size))), size)


def _load(builder: Any, data: Any, number: Any, dtype: Any, vector: Any) -> Any:
    """The vector with a number in memory, as fp32."""
    half = dtype == types.uint16
    stored = ir.VectorType(ir.IntType(16), vector.count) if half else vector
    start = builder.gep(data, [builder.mul(number, _LONG(vector.count))])
    found = builder.load(builder.bitcast(start, stored.as_pointer()), align=2 if half else 4)
    if not half:
        return found
    wide = ir.VectorType(_INT, vector.count)
    bits = builder.shl(builder.zext(found, wide), ir.Constant(wide, [16] * vector.count))
    return builder.bitcast(bits, vector)


def _broadcast(builder: Any, number: Any, vector: Any) -> Any:
    nothing = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(nothing, number, _INT(0))
    lanes = ir.Constant(ir.VectorType(_INT, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, nothing, lanes)


def _add_up(builder: Any, vector: Any) -> Any:
    name = f"llvm.vector.reduce.fadd.v{vector.count}f32"
    kind = ir.FunctionType(_FLOAT, [_FLOAT, vector])
    return _code.get_or_insert_function(builder.module, kind, name)
