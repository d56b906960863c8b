"""Products with AVX-512, tile by tile.

A tile is 8 tokens by one panel of weights (`panels.py`), 32 outputs. Its 256 sums stay in 16
registers while the inputs go by; each instruction multiplies one input of one token with 16
outputs, in bf16 two.

Libraries' products can only be called one by one, from Python, with threads that begin and end
there. These are functions that other compiled loops call.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import types
from numba.core.extending import intrinsic

from olmoflow.inference.native.compiled.fetching import fetch
from olmoflow.inference.native.panels import COLUMNS, WORD

ROWS = 8
"""Tokens of a tile."""
_LANES = 16
_VECTOR = ir.VectorType(ir.FloatType(), _LANES)
_INT, _LONG = ir.IntType(32), ir.IntType(64)


def has_tiles(dtype: torch.dtype) -> bool:
    """Whether this processor multiplies so, and has nothing better (AMX, which oneDNN uses)."""
    if os.name != "posix":  # threads that wait give way as POSIX has it
        return False
    features = binding.get_host_cpu_features()
    if dtype == torch.bfloat16:
        return bool(features.get("avx512bf16")) and not features.get("amx-bf16")
    return dtype == torch.float32 and bool(features.get("avx512f"))


@intrinsic
def _multiply(
    typing: Any, x: Any, stride: Any, panel: Any, words: Any, sums: Any, like: Any
) -> Any:
    """Sums of a tile, into the beginning of an array `sums`, as [8, 32] fp32.

    The others are the address of 8 rows, the bytes from one to the next, the address of a panel,
    the number of words of a row, at least one, and an array of the numbers' type.
    """
    signature = types.void(*[types.int64] * 4, sums, like)
    multiply_add = _multiply_add_pairs if like.dtype == types.uint16 else _multiply_add

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = context.make_array(sums)(context, builder, arguments[4])
        out = builder.ptrtoint(target.data, _LONG)
        _generate(builder, multiply_add, arguments[:4], out)
        return context.get_dummy_value()

    return signature, generate


multiply_tile: Any = _multiply


def _generate(builder: Any, multiply_add: Any, arguments: Any, out: Any) -> None:
    x, stride, panel, words = arguments
    before, loop = builder.block, builder.append_basic_block("words")
    after = builder.append_basic_block("sums")
    rows = [builder.add(x, builder.mul(stride, _LONG(row))) for row in range(ROWS)]
    builder.branch(loop)

    builder.position_at_end(loop)
    word = builder.phi(_LONG)
    sums = [builder.phi(_VECTOR) for _ in range(ROWS * COLUMNS // _LANES)]
    weights = builder.add(panel, builder.mul(word, _LONG(WORD * COLUMNS)))
    outputs = [_load(builder, weights, 4 * _LANES * half, _VECTOR) for half in range(2)]
    # The panel that lies behind this one: it is the next.
    fetch(builder, builder.add(weights, builder.mul(words, _LONG(WORD * COLUMNS))), WORD * COLUMNS)
    added = []
    for row in range(ROWS):
        inputs = _load(builder, builder.add(rows[row], builder.mul(word, _LONG(WORD))), 0, _INT)
        everywhere = _broadcast(builder, inputs)
        added += [
            multiply_add(builder, sums[2 * row + half], everywhere, outputs[half])
            for half in range(2)
        ]
    following = builder.add(word, _LONG(1))
    builder.cbranch(builder.icmp_signed("<", following, words), loop, after)
    for phi, first, later in [(word, _LONG(0), following)] + [
        (phi, ir.Constant(_VECTOR, [0.0] * _LANES), later)
        for phi, later in zip(sums, added, strict=True)
    ]:
        phi.add_incoming(first, before)
        phi.add_incoming(later, loop)

    builder.position_at_end(after)
    for number, value in enumerate(added):
        builder.store(value, _at(builder, out, 4 * _LANES * number, _VECTOR), align=4)


def _multiply_add(builder: Any, total: Any, inputs: Any, outputs: Any) -> Any:
    fused = ("contract",)  # one instruction and one rounding
    return builder.fadd(total, builder.fmul(inputs, outputs, flags=fused), flags=fused)


def _multiply_add_pairs(builder: Any, total: Any, inputs: Any, outputs: Any) -> Any:
    binding.initialize_native_asmparser()
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.asm(
        kind, "vdpbf16ps $3, $2, $0", "=v,0,v,v", [total, inputs, outputs], side_effect=False
    )


def _broadcast(builder: Any, number: Any) -> Any:
    lanes = ir.VectorType(_INT, _LANES)
    one = builder.insert_element(ir.Constant(lanes, ir.Undefined), number, _INT(0))
    nowhere = ir.Constant(lanes, ir.Undefined)
    spread = builder.shuffle_vector(one, nowhere, ir.Constant(lanes, [0] * _LANES))
    return builder.bitcast(spread, _VECTOR)


def _load(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    return builder.load(_at(builder, address, offset, kind), align=4)


def _at(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    return builder.inttoptr(builder.add(address, _LONG(offset)), kind.as_pointer())
