"""Connected components by union-find, compiled. The root of a component is its smallest member."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit

Integers = NDArray[np.int64]


@njit(cache=True, nogil=True)
def find(parents: Integers, node: np.int64) -> np.int64:
    """The root of a node; halves the path to it."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@njit(cache=True, nogil=True)
def join(parents: Integers, left: np.int64, right: np.int64) -> None:
    """Make one component of two."""
    left, right = find(parents, left), find(parents, right)
    if left < right:
        parents[right] = left
    else:
        parents[left] = right


@njit(cache=True, nogil=True)
def join_all(parents: Integers, edges: Integers) -> None:
    """Join the ends of each edge; ``edges`` is [number, 2]."""
    for place in range(len(edges)):
        join(parents, edges[place, 0], edges[place, 1])


@njit(cache=True, nogil=True)
def not_alone(parents: Integers) -> NDArray[np.bool_]:
    """[nodes], whether a node's component has others; after `flatten`."""
    flags = np.zeros(len(parents), np.bool_)
    for node in range(len(parents)):
        if parents[node] != node:
            flags[node] = flags[parents[node]] = True
    return flags


@njit(cache=True, nogil=True)
def flatten(parents: Integers) -> None:
    """Let every node point to its root, which is before it."""
    for node in range(len(parents)):
        parents[node] = parents[parents[node]]
