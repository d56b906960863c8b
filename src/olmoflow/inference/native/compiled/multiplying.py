"""Products with panels, as phases that a decoding step is made of and as loops of their own."""

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
    narrow,
    take,
)
from olmoflow.inference.native.compiled.threads import Loop
from olmoflow.inference.native.compiled.tiles import ROWS, multiply_tile
from olmoflow.inference.native.panels import COLUMNS, WORD

_GROUP = 32
"""Rows of an item: few, so that every thread finds one; many, so that a panel pays."""
TILE = ROWS * COLUMNS


@compiled
def items_of(rows: int, columns: int) -> int:
    """Items of a product with so many outputs."""
    return -(-rows // _GROUP) * -(-columns // COLUMNS)


@compiled
def multiply_item(
    item: int, x: int, rows: int, inputs: int, panels: int, columns: int, out: Any, sums: Any
) -> None:
    """A part of a product.

    Args:
        item: Its number.
        x: Address of [rows, inputs]; at least 8 rows can be read.
        rows: Of x.
        inputs: Of the matrix.
        panels: Address of the matrix.
        columns: Its outputs.
        out: [rows * columns], written.
        sums: [>= 256] fp32, to work in.
    """
    groups = -(-rows // _GROUP)
    panel, start = item // groups, item % groups * _GROUP
    first, size = panel * COLUMNS, inputs * out.itemsize
    width = min(COLUMNS, columns - first)
    weights = panels + panel * COLUMNS * size
    for block in range(start, min(start + _GROUP, rows), ROWS):
        row = max(min(block, rows - ROWS), 0)  # the last tile ends with the last row
        multiply_tile(x + row * size, size, weights, size // WORD, sums, out)
        for r in range(min(ROWS, rows)):
            target = out[(row + r) * columns + first : (row + r) * columns + first + width]
            for c in range(width):
                target[c] = narrow(sums[r * COLUMNS + c], out)


@compiled
def gate_item(
    item: int, x: int, rows: int, inputs: int, panels: int, columns: int, out: Any, sums: Any
) -> None:
    """The same for SwiGLU: gates are the first half of the matrix's outputs; see `multiply_item`.

    Args:
        item: Its number.
        x: Address of [rows, inputs]; at least 8 rows can be read.
        rows: Of x.
        inputs: Of the matrix.
        panels: Address of the matrix.
        columns: Half its outputs, a multiple of 32.
        out: [rows * columns], written.
        sums: [512] fp32, to work in.
    """
    groups = -(-rows // _GROUP)
    panel, start = item // groups, item % groups * _GROUP
    first, size, words = panel * COLUMNS, inputs * out.itemsize, inputs * out.itemsize // WORD
    gates = panels + panel * COLUMNS * size
    ups = gates + columns * size
    for block in range(start, min(start + _GROUP, rows), ROWS):
        row = max(min(block, rows - ROWS), 0)
        multiply_tile(x + row * size, size, gates, words, sums, out)
        multiply_tile(x + row * size, size, ups, words, sums[TILE:], out)
        for r in range(min(ROWS, rows)):
            target = out[(row + r) * columns + first : (row + r) * columns + first + COLUMNS]
            for c in range(COLUMNS):
                g, up = sums[r * COLUMNS + c], sums[TILE + r * COLUMNS + c]
                target[c] = narrow(g / (np.float32(1) + exp(-g)) * up, out)


def _multiply(dtype: Any) -> Callable[[Any], None]:
    """A product by itself. Arguments: x [N, inputs], inputs, panels, columns, out [N, columns]."""

    def run(data: Any) -> None:
        a = arguments(data, 7)
        rows, columns = a[1], a[5]
        out, sums = at(a[6], rows * columns, dtype), np.empty(TILE, FP32)
        items = items_of(rows, columns)
        item = take(data)
        while item < items:
            multiply_item(item, a[2], rows, a[3], a[4], columns, out, sums)
            item = take(data)

    return run


def _multiply_gated(dtype: Any) -> Callable[[Any], None]:
    """The same with SwiGLU; columns are those of out."""

    def run(data: Any) -> None:
        a = arguments(data, 7)
        rows, columns = a[1], a[5]
        out, sums = at(a[6], rows * columns, dtype), np.empty(2 * TILE, FP32)
        items = items_of(rows, columns)
        item = take(data)
        while item < items:
            gate_item(item, a[2], rows, a[3], a[4], columns, out, sums)
            item = take(data)

    return run


multiply, multiply_gated = Loop(_multiply), Loop(_multiply_gated)
