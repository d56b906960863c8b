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
    take,
    widen,
)
from olmoflow.inference.native.compiled.multiplying import (
    TILE,
    gate_item,
    items_of,
    multiply_item,
)
from olmoflow.inference.native.compiled.phases import STRIDE, finish, next_item
from olmoflow.inference.native.compiled.threads import Loop
from olmoflow.inference.native.compiled.vectors import score_keys, weigh_values

LAYER, CACHE = 10, 3
"""Integers that describe a layer, and its keys and values in a slab."""
_BLOCK = 4
"""Rows of an item, where rows are normalised."""


@compiled
def phases_of(layers: int) -> int:
    """Phases of a step: seven of each layer, and two behind them all."""
    return 7 * layers + 2


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


@inlined
def _attend(
    phase: int,
    rows: int,
    heads: Any,
    layer: Any,
    caches: Any,
    work: Any,
    epsilon: Any,
    dtype: Any,
    width: int,
) -> int:
    """Keys and values of new tokens are stored, and their queries look at all.

    Args:
        phase: Address of its counters.
        rows: Tokens.
        heads: Query heads and key heads.
        layer: Addresses of the norms of queries and of keys, of cosines and of sines.
        caches: Address of the layer's [slabs, 3]; slab, row in it and position, [rows] each.
        work: Queries, keys and values; what is seen, written; [slots] and [width] fp32.
        epsilon: Of the norms.
        dtype: Of what is stored.
        width: Of a head.
    """
    (query_heads, kv_heads), (slabs, slab_of, row_of, positions) = heads, caches
    query_norm, key_norm, cosines, sines = layer
    qkv, seen, scores, turned = work
    half, size, group = width // 2, qkv.itemsize, query_heads // kv_heads
    stride, factor = (query_heads + 2 * kv_heads) * width, np.float32(1 / np.sqrt(width))
    items, mine = rows * kv_heads, 0
    item = next_item(phase)
    while item < items:
        row, kv_head = item // kv_heads, item % kv_heads
        cache = at(slabs + slab_of[row] * CACHE * 8, CACHE, np.int64)
        slots, position = cache[2], positions[row]
        slot, filled = position % slots, min(position + 1, slots)
        place = (row_of[row] * kv_heads + kv_head) * slots * width
        keys = at(cache[0] + place * size, slots * width, dtype)
        values = at(cache[1] + place * size, slots * width, dtype)
        cos = at(cosines + position * half * 4, half, FP32)
        sin = at(sines + position * half * 4, half, FP32)
        own = qkv[row * stride : (row + 1) * stride]
        # The norm goes over all heads of a token, and is cheap enough to compute for each.
        scale = inverse_rms(own[query_heads * width : (query_heads + kv_heads) * width], epsilon)
        head = query_heads + kv_head
        weight = at(key_norm + kv_head * width * 4, width, FP32)
        _turn(own[head * width : (head + 1) * width], scale, weight, cos, sin, turned, half)
        head += kv_heads
        for i in range(width):
            keys[slot * width + i] = narrow(turned[i], keys)
            values[slot * width + i] = own[head * width + i]
        scale = inverse_rms(own[: query_heads * width], epsilon) * factor
        # What is needed next: these values, and the keys that lie behind these keys.
        later = cache[1] + place * size, cache[0] + (place + slots * width) * size
        for head in range(kv_head * group, (kv_head + 1) * group):
            weight = at(query_norm + head * width * 4, width, FP32)
            query = own[head * width : (head + 1) * width]
            _turn(query, scale, weight, cos, sin, turned, half)
            score_keys(turned, keys, scores[:filled], later[0], width)
            total = softmax(scores[:filled])
            weigh_values(scores[:filled], values, turned, later[1], width)
            for i in range(width):
                seen[(row * query_heads + head) * width + i] = narrow(turned[i] / total, seen)
        item, mine = next_item(phase), mine + 1
    return finish(phase, mine, items)


def _decode(dtype: Any, width: int) -> Callable[[Any], None]:
    """One token of each sequence through all layers.

    Width is a head's. Arguments: query heads, key heads, d_model, FFN width, vocabulary, layers,
    most slots of a cache, then addresses: epsilon [1], counters of phases [shares, phases],
    layers [layers, 10] (see `decoding.py`), caches [layers, slabs, 3], number of slabs, slab of
    each token [N], row in it [N], position [N], final norm, LM head's panels; and to work in and
    write, with at least 8 rows each: x [N, d_model], qkv, seen, y [N, d_model],
    gated [N, FFN width], logits [N, vocabulary]; at last the number of sequences of a share.

    A thread takes a share through all layers and then another, and waits for nobody. If all
    sequences are one share, all threads take part in each of its phases.
    """
    size = np.dtype(dtype).itemsize

    def run(data: Any) -> None:
        a = arguments(data, 26)
        heads, kv_heads, d_model, ffn, vocabulary = a[2], a[3], a[4], a[5], a[6]
        layers, epsilon, slabs = a[7], at(a[9], 1, FP32)[0], a[13]
        all_heads = heads + 2 * kv_heads
        sums, scores = np.empty(2 * TILE, FP32), np.empty(a[8], FP32)
        turned = np.empty(width, FP32)
        shares = -(-a[1] // a[25])
        share = take(data) if shares > 1 else 0
        while share < shares:
            first = share * a[25]
            rows, phase = min(a[25], a[1] - first), a[10] + share * phases_of(layers) * STRIDE * 8
            slab_of = at(a[14] + first * 8, rows, np.int64)
            row_of = at(a[15] + first * 8, rows, np.int64)
            positions = at(a[16] + first * 8, rows, np.int64)
            x_at, qkv_at = a[19] + first * d_model * size, a[20] + first * all_heads * width * size
            seen_at, y_at = a[21] + first * heads * width * size, a[22] + first * d_model * size
            gated_at = a[23] + first * ffn * size
            x, y = at(x_at, rows * d_model, dtype), at(y_at, rows * d_model, dtype)
            qkv = at(qkv_at, rows * all_heads * width, dtype)
            seen, gated = at(seen_at, rows * heads * width, dtype), at(gated_at, rows * ffn, dtype)
            logits = at(a[24] + first * vocabulary * size, rows * vocabulary, dtype)
            for number in range(layers):
                layer = at(a[11] + number * LAYER * 8, LAYER, np.int64)
                phase = _multiply(
                    phase, x_at, rows, d_model, layer[0], all_heads * width, qkv, sums
                )
                phase = _attend(
                    phase,
                    rows,
                    (heads, kv_heads),
                    (layer[4], layer[5], layer[8], layer[9]),
                    (a[12] + number * slabs * CACHE * 8, slab_of, row_of, positions),
                    (qkv, seen, scores, turned),
                    epsilon,
                    dtype,
                    width,
                )
                phase = _multiply(phase, seen_at, rows, heads * width, layer[1], d_model, y, sums)
                weight = at(layer[6], d_model, FP32)
                phase = _add_normed(phase, x, y, rows, d_model, weight, epsilon)
                phase = _gate(phase, x_at, rows, d_model, layer[2], ffn, gated, sums)
                phase = _multiply(phase, gated_at, rows, ffn, layer[3], d_model, y, sums)
                weight = at(layer[7], d_model, FP32)
                phase = _add_normed(phase, x, y, rows, d_model, weight, epsilon)
            phase = _norm(phase, x, y, rows, d_model, at(a[17], d_model, FP32), epsilon)
            _multiply(phase, y_at, rows, d_model, a[18], vocabulary, logits, sums)
            share = take(data) if shares > 1 else shares

    return run


decode = Loop(_decode)
