"""Everything of a decoding step but the matrix products, as compiled loops over rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from olmoflow.inference.native.compiled.loops import (
    FP32,
    arguments,
    at,
    compiled,
    exp,
    highest,
    narrow,
    take,
    widen,
)
from olmoflow.inference.native.compiled.threads import Loop
from olmoflow.inference.native.compiled.vectors import score_keys, weigh_values

_BLOCK = 4
"""Rows that a thread takes at a time."""
_SUMMED = 128
"""Weights that are added up before it is looked whether the drawn one is among them."""


@compiled
def inverse_rms(x: Any, epsilon: Any) -> Any:
    """What RMSNorm multiplies with, but for the weight."""
    total = np.float32(0)
    for i in range(len(x)):
        total += widen(x[i]) * widen(x[i])
    return np.float32(1) / np.sqrt(total / np.float32(len(x)) + epsilon)


def _turn(dtype: Any, width: int) -> Callable[[Any], None]:
    """Norm and rotation of queries and keys, in place.

    Width is a head's. Arguments: x [N, stride], stride, query heads, key heads, norm weights of
    queries and keys, epsilon [1], cosines and sines [positions, width / 2], positions [N].
    """
    half = width // 2

    def run(data: Any) -> None:
        a = arguments(data, 12)
        rows, stride = a[1], a[3]
        x, epsilon = at(a[2], rows * stride, dtype), at(a[8], 1, FP32)[0]
        positions = at(a[11], rows, np.int64)
        while True:
            first = take(data) * _BLOCK
            if first >= rows:
                break
            for row in range(first, min(first + _BLOCK, rows)):
                cos = at(a[9] + positions[row] * half * 4, half, FP32)
                sin = at(a[10] + positions[row] * half * 4, half, FP32)
                start = row * stride
                for part in range(2):
                    heads = a[4 + part]
                    scale = inverse_rms(x[start : start + heads * width], epsilon)
                    for head in range(heads):
                        near = x[start + head * width : start + head * width + half]
                        far = x[start + head * width + half : start + (head + 1) * width]
                        w = at(a[6 + part] + head * width * 4, width, FP32)
                        for i in range(half):
                            one = widen(near[i]) * scale * w[i]
                            other = widen(far[i]) * scale * w[i + half]
                            near[i] = narrow(one * cos[i] - other * sin[i], dtype)
                            far[i] = narrow(other * cos[i] + one * sin[i], dtype)
                    start += heads * width

    return run


def _add_normed(dtype: Any) -> Callable[[Any], None]:
    """Residual sum: x += norm(y) * weight.

    Arguments: x [N, width], y, weight [width], epsilon [1], width.
    """

    def run(data: Any) -> None:
        a = arguments(data, 7)
        rows, width = a[1], a[6]
        weight, epsilon = at(a[4], width, FP32), at(a[5], 1, FP32)[0]
        x, y = at(a[2], rows * width, dtype), at(a[3], rows * width, dtype)
        while True:
            first = take(data) * _BLOCK
            if first >= rows:
                break
            for row in range(first, min(first + _BLOCK, rows)):
                own = x[row * width : (row + 1) * width]
                added = y[row * width : (row + 1) * width]
                scale = inverse_rms(added, epsilon)
                for i in range(width):
                    own[i] = narrow(widen(own[i]) + widen(added[i]) * scale * weight[i], dtype)

    return run


def _gate(dtype: Any) -> Callable[[Any], None]:
    """SwiGLU. Arguments: x [N, 2 * width] (gate, then up), out [N, width], width."""

    def run(data: Any) -> None:
        a = arguments(data, 5)
        rows, width = a[1], a[4]
        x, out = at(a[2], rows * width * 2, dtype), at(a[3], rows * width, dtype)
        while True:
            first = take(data) * _BLOCK
            if first >= rows:
                break
            for row in range(first, min(first + _BLOCK, rows)):
                gate = x[2 * row * width : (2 * row + 1) * width]
                up = x[(2 * row + 1) * width : (2 * row + 2) * width]
                target = out[row * width : (row + 1) * width]
                for i in range(width):
                    g = widen(gate[i])
                    target[i] = narrow(g / (np.float32(1) + exp(-g)) * widen(up[i]), dtype)

    return run


@compiled
def softmax(scores: Any) -> Any:
    """To weights that are not normalised yet, in place; returns their sum."""
    most, total = highest(scores), np.float32(0)
    for slot in range(len(scores)):
        scores[slot] = exp(scores[slot] - most)
        total += scores[slot]
    return total


def _attend(dtype: Any, width: int) -> Callable[[Any], None]:
    """Stores a token's key and value and lets its query look at all that its row holds.

    Arguments: q [N, stride], k, v, stride, out [N, heads * width], heads, key heads, keys and
    values [2, slab rows, key heads, slots, width], slab rows, slots, positions [N].
    """
    size = np.dtype(dtype).itemsize

    def run(data: Any) -> None:
        a = arguments(data, 13)
        rows, stride, heads, kv_heads, slots = a[1], a[5], a[7], a[8], a[11]
        q, k = at(a[2], rows * stride, dtype), at(a[3], rows * stride, dtype)
        v = at(a[4], rows * stride, dtype)
        out, positions = at(a[6], rows * heads * width, dtype), at(a[12], rows, np.int64)
        half = a[10] * kv_heads * slots * width
        cache = at(a[9], 2 * half, dtype)
        scores, query, seen = np.empty(slots, FP32), np.empty(width, FP32), np.empty(width, FP32)
        group, scale = heads // kv_heads, np.float32(1 / np.sqrt(width))
        while True:
            item = take(data)
            if item >= rows * kv_heads:
                break
            row, kv_head = item // kv_heads, item % kv_heads
            slot, filled = positions[row] % slots, min(positions[row] + 1, slots)
            start, new = item * slots * width, row * stride + kv_head * width
            keys = cache[start : start + slots * width]
            values = cache[half + start : half + start + slots * width]
            keys[slot * width : (slot + 1) * width] = k[new : new + width]
            values[slot * width : (slot + 1) * width] = v[new : new + width]
            # What is needed next: these values, and the keys that lie behind these keys.
            later = a[9] + (half + start) * size, a[9] + (start + slots * width) * size
            for head in range(kv_head * group, (kv_head + 1) * group):
                for i in range(width):
                    query[i] = widen(q[row * stride + head * width + i]) * scale
                score_keys(query, keys, scores[:filled], later[0], width)
                total = softmax(scores[:filled])
                weigh_values(scores[:filled], values, seen, later[1], width)
                for i in range(width):
                    out[(row * heads + head) * width + i] = narrow(seen[i] / total, dtype)

    return run


@compiled
def _first_of(x: Any, value: Any) -> int:
    for i in range(len(x)):
        if widen(x[i]) == value:
            return i
    return 0


@compiled
def _exponentials(logits: Any, most: Any, temperature: Any, weights: Any) -> Any:
    """e^((logit - most) / temperature) into weights; returns their sum."""
    total, factor = np.float32(0), np.float32(1) / temperature
    for i in range(len(logits)):
        weights[i] = exp((widen(logits[i]) - most) * factor)
        total += weights[i]
    return total


@compiled
def _draw(weights: Any, target: Any) -> int:
    """The first place up to which the weights sum up to more than the target."""
    passed, start, last = np.float32(0), 0, 0
    while start < len(weights):
        end = min(start + _SUMMED, len(weights))
        total = np.float32(0)
        for i in range(start, end):
            total += weights[i]
        if passed + total > target:
            break
        passed, start = passed + total, end
    # Rounding may leave the target beyond all: then the last place that has a weight is taken.
    for i in range(max(min(start, len(weights) - _SUMMED), 0), len(weights)):
        if weights[i] > 0:
            last = i
        if i >= start:
            passed += weights[i]
            if passed > target:
                return i
    return last


def _sample(dtype: Any) -> Callable[[Any], None]:
    """A token of each row, and its log-probability at temperature 1.

    Arguments: logits [N, vocabulary], vocabulary, temperatures [N] (0 takes the likeliest),
    uniforms [N], tokens [N] and log-probabilities [N] to write.
    """

    def run(data: Any) -> None:
        a = arguments(data, 8)
        rows, size = a[1], a[3]
        logits = at(a[2], rows * size, dtype)
        temperatures, uniforms = at(a[4], rows, FP32), at(a[5], rows, FP32)
        tokens, logprobs = at(a[6], rows, np.int64), at(a[7], rows, FP32)
        weights = np.empty(size, FP32)
        while True:
            row = take(data)
            if row >= rows:
                break
            own = logits[row * size : (row + 1) * size]
            most = highest(own)
            plain = _exponentials(own, most, np.float32(1), weights)
            if temperatures[row] == 0:
                token = _first_of(own, most)
            else:
                total = plain
                if temperatures[row] != 1:
                    total = _exponentials(own, most, temperatures[row], weights)
                token = _draw(weights, uniforms[row] * total)
            tokens[row] = token
            logprobs[row] = widen(own[token]) - most - np.log(plain)

    return run


def _accumulate(dtype: Any) -> Callable[[Any], None]:
    """Takes a part of each row's logits into a softmax that is not complete yet.

    Arguments: logits [N, width], width, id of the first, the largest logit so far [N], the sum of
    e^(logit - largest) [N], and whose the largest is [N].
    """

    def run(data: Any) -> None:
        a = arguments(data, 8)
        rows, width, first = a[1], a[3], a[4]
        logits = at(a[2], rows * width, dtype)
        largest, sums = at(a[5], rows, FP32), at(a[6], rows, FP32)
        likeliest = at(a[7], rows, np.int64)
        while True:
            row = take(data)
            if row >= rows:
                break
            own = logits[row * width : (row + 1) * width]
            most = highest(own)
            if most > largest[row]:
                sums[row] *= exp(largest[row] - most)
                largest[row], likeliest[row] = most, first + _first_of(own, most)
            most, total = largest[row], np.float32(0)
            for i in range(width):
                total += exp(widen(own[i]) - most)
            sums[row] += total

    return run


turn, add_normed, gate = Loop(_turn), Loop(_add_normed), Loop(_gate)
attend, sample, accumulate = Loop(_attend), Loop(_sample), Loop(_accumulate)
