"""A whole decoding step as one compiled function: all layers, and the logits.

Between two matrix products of a small model lies less work than it takes to call a function from
Python and to wake threads. Here they are called once for a step and meet between its phases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from olmoflow.inference.native.compiled.kernels import inverse_rms, softmax
from olmoflow.inference.native.compiled.loops import (
    FP32,
    arguments,
    at,
    compiled,
    inlined,
    narrow,
    widen,
)
from olmoflow.inference.native.compiled.multiplying import (
    TILE,
    gate_item,
    items_of,
    multiply_item,
)
from olmoflow.inference.native.compiled.phases import finish, next_item
from olmoflow.inference.native.compiled.threads import Loop
from olmoflow.inference.native.compiled.vectors import score_keys, weigh_values

PHASES = 7
"""Of a layer; two more follow all of them."""
LAYER, CACHE = 10, 3
"""Integers that describe a layer, and its keys and values in a slab."""
_BLOCK = 4
"""Rows of an item, where rows are normalised."""


@compiled
def _multiply(
    phase: int, x: int, rows: int, inputs: int, panels: int, columns: int, out: Any, sums: Any
) -> int:
    items, mine = items_of(rows, columns), 0
    item = next_item(phase)
    while item < items:
        multiply_item(item, x, rows, inputs, panels, columns, out, sums)
        item, mine = next_item(phase), mine + 1
    return finish(phase, mine, items)


@compiled
def _gate(
    phase: int, x: int, rows: int, inputs: int, panels: int, columns: int, out: Any, sums: Any
) -> int:
    items, mine = items_of(rows, columns), 0
    item = next_item(phase)
    while item < items:
        gate_item(item, x, rows, inputs, panels, columns, out, sums)
        item, mine = next_item(phase), mine + 1
    return finish(phase, mine, items)


@compiled
def _add_normed(
    phase: int, x: Any, y: Any, rows: int, width: int, weight: Any, epsilon: Any
) -> int:
    """Residual sum: x += norm(y) * weight."""
    items, mine = -(-rows // _BLOCK), 0
    item = next_item(phase)
    while item < items:
        for row in range(item * _BLOCK, min((item + 1) * _BLOCK, rows)):
            own = x[row * width : (row + 1) * width]
            added = y[row * width : (row + 1) * width]
            scale = inverse_rms(added, epsilon)
            for i in range(width):
                own[i] = narrow(widen(own[i]) + widen(added[i]) * scale * weight[i], own)
        item, mine = next_item(phase), mine + 1
    return finish(phase, mine, items)


@compiled
def _norm(phase: int, x: Any, out: Any, rows: int, width: int, weight: Any, epsilon: Any) -> int:
    """RMSNorm: out = norm(x) * weight."""
    items, mine = -(-rows // _BLOCK), 0
    item = next_item(phase)
    while item < items:
        for row in range(item * _BLOCK, min((item + 1) * _BLOCK, rows)):
            own = x[row * width : (row + 1) * width]
            scale = inverse_rms(own, epsilon)
            for i in range(width):
                out[row * width + i] = narrow(widen(own[i]) * scale * weight[i], out)
        item, mine = next_item(phase), mine + 1
    return finish(phase, mine, items)


@inlined
def _turn(head: Any, scale: Any, weight: Any, cos: Any, sin: Any, out: Any, half: int) -> None:
    """A head, normalised and rotated, as fp32."""
    for i in range(half):
        one = widen(head[i]) * scale * weight[i]
        other = widen(head[i + half]) * scale * weight[i + half]
        out[i] = one * cos[i] - other * sin[i]
        out[i + half] = other * cos[i] + one * sin[i]


def _decode(dtype: Any, width: int) -> Callable[[Any], None]:
    """One token of each sequence through all layers.

    Width is a head's. Arguments: query heads, key heads, d_model, FFN width, vocabulary, layers,
    most slots of a cache, then addresses: epsilon [1], counters of phases, layers [layers, 10] (see
    `decoding.py`), caches [layers, slabs, 3], number of slabs, slab of each token [N], row in it
    [N], position [N], final norm, LM head's panels; and to work in and write, with at least 8 rows
    each: x [N, d_model], qkv, seen, y [N, d_model], gated [N, FFN width], logits [N, vocabulary].
    """
    half, size = width // 2, np.dtype(dtype).itemsize

    def run(data: Any) -> None:
        a = arguments(data, 25)
        rows, heads, kv_heads, d_model, ffn, vocabulary = a[1], a[2], a[3], a[4], a[5], a[6]
        layers, epsilon, phase, slabs = a[7], at(a[9], 1, FP32)[0], a[10], a[13]
        slab_of, row_of = at(a[14], rows, np.int64), at(a[15], rows, np.int64)
        positions = at(a[16], rows, np.int64)
        group, all_heads = heads // kv_heads, heads + 2 * kv_heads
        x, y = at(a[19], rows * d_model, dtype), at(a[22], rows * d_model, dtype)
        qkv = at(a[20], rows * all_heads * width, dtype)
        seen, gated = at(a[21], rows * heads * width, dtype), at(a[23], rows * ffn, dtype)
        logits = at(a[24], rows * vocabulary, dtype)
        sums, scores = np.empty(2 * TILE, FP32), np.empty(a[8], FP32)
        turned, factor = np.empty(width, FP32), np.float32(1 / np.sqrt(width))
        for number in range(layers):
            layer = at(a[11] + number * LAYER * 8, LAYER, np.int64)
            phase = _multiply(phase, a[19], rows, d_model, layer[0], all_heads * width, qkv, sums)

            items, mine = rows * kv_heads, 0
            item = next_item(phase)
            while item < items:
                row, kv_head = item // kv_heads, item % kv_heads
                cache = at(a[12] + (number * slabs + slab_of[row]) * CACHE * 8, CACHE, np.int64)
                slots, position = cache[2], positions[row]
                slot, filled = position % slots, min(position + 1, slots)
                place = (row_of[row] * kv_heads + kv_head) * slots * width
                keys = at(cache[0] + place * size, slots * width, dtype)
                values = at(cache[1] + place * size, slots * width, dtype)
                cos = at(layer[8] + position * half * 4, half, FP32)
                sin = at(layer[9] + position * half * 4, half, FP32)
                own = qkv[row * all_heads * width : (row + 1) * all_heads * width]
                # The norm goes over all heads of a token, and is cheap enough to compute for each.
                scale = inverse_rms(own[heads * width : (heads + kv_heads) * width], epsilon)
                head = heads + kv_head
                weight = at(layer[5] + kv_head * width * 4, width, FP32)
                _turn(own[head * width : (head + 1) * width], scale, weight, cos, sin, turned, half)
                head += kv_heads
                for i in range(width):
                    keys[slot * width + i] = narrow(turned[i], dtype)
                    values[slot * width + i] = own[head * width + i]
                scale = inverse_rms(own[: heads * width], epsilon) * factor
                # What is needed next: these values, and the keys that lie behind these keys.
                later = cache[1] + place * size, cache[0] + (place + slots * width) * size
                for head in range(kv_head * group, (kv_head + 1) * group):
                    weight = at(layer[4] + head * width * 4, width, FP32)
                    query = own[head * width : (head + 1) * width]
                    _turn(query, scale, weight, cos, sin, turned, half)
                    score_keys(turned, keys, scores[:filled], later[0], width)
                    total = softmax(scores[:filled])
                    weigh_values(scores[:filled], values, turned, later[1], width)
                    for i in range(width):
                        target = (row * heads + head) * width + i
                        seen[target] = narrow(turned[i] / total, dtype)
                item, mine = next_item(phase), mine + 1
            phase = finish(phase, mine, items)

            phase = _multiply(phase, a[21], rows, heads * width, layer[1], d_model, y, sums)
            weight = at(layer[6], d_model, FP32)
            phase = _add_normed(phase, x, y, rows, d_model, weight, epsilon)
            phase = _gate(phase, a[19], rows, d_model, layer[2], ffn, gated, sums)
            phase = _multiply(phase, a[23], rows, ffn, layer[3], d_model, y, sums)
            weight = at(layer[7], d_model, FP32)
            phase = _add_normed(phase, x, y, rows, d_model, weight, epsilon)
        phase = _norm(phase, x, y, rows, d_model, at(a[17], d_model, FP32), epsilon)
        _multiply(phase, a[22], rows, d_model, a[18], vocabulary, logits, sums)

    return run


decode = Loop(_decode)
