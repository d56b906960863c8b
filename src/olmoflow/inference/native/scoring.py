"""Log-probabilities of continuations, with everything that requests share computed once.

The continuations of one context are branches behind it: they are read in one pass, each seeing the
context and itself (a tree). Contexts that begin alike for the most part, such as questions behind
the same examples, are a *family*: what they have in common is read once and all of them look at it.
Trees of similar length go into one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from olmoflow.inference.engine import Score, ScoreRequest
from olmoflow.inference.native.attention import ChunkAttention
from olmoflow.inference.native.network import Network
from olmoflow.inference.native.prefixes import SHORTEST, common_length
from olmoflow.inference.native.slab import Slab

Ints = NDArray[np.int64]
Pass = Callable[[], list[tuple[int, Score]]]
"""Computes some of the scores; each has the number of its request."""

_BRANCHES, _FEW = 8, 128
"""Tokens of a tree's branches, as a multiple of its context's or as a number, whichever is more.
Attention of a tree grows with its square, reading a short context once more costs little."""
_COPIES = 32
"""Keys that a pass copies, as a multiple of its tokens at most."""


@dataclass(eq=False)
class Tree:
    """A context and continuations of it.

    Attributes:
        context: At least one token.
        branches: The continuations.
        numbers: Of the requests that each of them answers.
    """

    context: Ints
    branches: list[Ints] = field(default_factory=list)
    numbers: list[list[int]] = field(default_factory=list)

    @property
    def new_tokens(self) -> int:
        """Tokens to read besides the context; nothing follows a continuation's last one."""
        return sum(len(branch) - 1 for branch in self.branches)


@dataclass
class Family:
    """Trees whose contexts begin with the same `shared` tokens, each having more than those."""

    trees: list[Tree]
    shared: int


def grow_trees(requests: Sequence[ScoreRequest], most: int) -> list[Tree]:
    """One tree for each context; equal requests are one branch.

    Args:
        requests: Any.
        most: Tokens of a tree's branches together, at most. A context with more of them, or many
            for its length, has several trees.
    """
    by_context: dict[bytes, dict[bytes, list[int]]] = {}
    for number, request in enumerate(requests):
        context = np.asarray(request.context_ids, dtype=np.int64).tobytes()
        continuation = np.asarray(request.continuation_ids, dtype=np.int64).tobytes()
        by_context.setdefault(context, {}).setdefault(continuation, []).append(number)
    trees = list[Tree]()
    for context, continuations in by_context.items():
        tree = Tree(np.frombuffer(context, dtype=np.int64).copy())
        room = min(most, max(_FEW, _BRANCHES * len(tree.context)))
        for continuation, numbers in continuations.items():
            branch = np.frombuffer(continuation, dtype=np.int64).copy()
            if tree.branches and tree.new_tokens + len(branch) - 1 > room:
                trees.append(tree)
                tree = Tree(tree.context)
            tree.branches.append(branch)
            tree.numbers.append(numbers)
        trees.append(tree)
    return trees


def find_families(trees: Sequence[Tree]) -> list[Family]:
    """Trees whose contexts share at least half of what they are, in the order of their texts."""
    trees = sorted(trees, key=lambda tree: tree.context.tolist())
    families = list[Family]()
    for tree in trees:
        if families:
            family = families[-1]
            # A context's last token is always read anew: its logits are wanted.
            common = min(common_length(family.trees[-1].context, tree.context), family.shared)
            common = min(common, len(tree.context) - 1)
            if common >= max(SHORTEST, len(tree.context) // 2):
                family.trees.append(tree)
                family.shared = common
                continue
        families.append(Family([tree], len(tree.context) - 1))
    for family in families:
        if len(family.trees) == 1:
            family.shared = 0
    return families


def score_requests(
    requests: Sequence[ScoreRequest], network: Network, chunk: int, vocab_size: int
) -> Iterator[Pass]:
    """Plan the passes; each is computed when it is called, in this order.

    Args:
        requests: Checked ones.
        network: Of the model.
        chunk: Tokens of a pass, at most, where no single context has more.
        vocab_size: Ids of tokens are below it.
    """
    alone = list[Tree]()
    for family in find_families(grow_trees(requests, most=max(chunk // 4, 1))):
        long = [tree for tree in family.trees if len(tree.context) - family.shared > chunk]
        for tree in long:  # its context is read in chunks, the branches after it
            yield from _passes(Family([tree], len(tree.context) - 1), network, chunk, vocab_size)
        family.trees = [tree for tree in family.trees if tree not in long]
        if family.shared:
            yield from _passes(family, network, chunk, vocab_size)
        else:
            alone += family.trees
    yield from _passes(Family(alone, 0), network, chunk, vocab_size)


def _passes(family: Family, network: Network, chunk: int, vocab_size: int) -> Iterator[Pass]:
    """Passes over trees of similar length, the longest first."""
    if not family.trees:
        return
    stem = _Stem(network, family.trees[0].context[: family.shared], chunk)
    size = {id(tree): len(tree.context) - family.shared + tree.new_tokens for tree in family.trees}
    trees = sorted(family.trees, key=lambda tree: -size[id(tree)])
    while trees:
        longest = size[id(trees[0])]
        # Every tree has its own copy of the stem's keys while a layer looks at them.
        count = min(chunk // longest, _COPIES * chunk // (longest + family.shared))
        batch, trees = trees[: max(count, 1)], trees[max(count, 1) :]
        yield partial(_score, batch, stem, network, vocab_size)


class _Stem:
    """The common beginning of a family, read when it is first needed.

    Args:
        network: Of the model.
        tokens: The beginning; may be empty.
        chunk: Tokens of a pass.
    """

    def __init__(self, network: Network, tokens: Ints, chunk: int) -> None:
        self.network, self.tokens, self.chunk = network, tokens, chunk
        self._slab: Slab | None = None
        self._changes = 0  # of the weights when it was read

    def slab(self) -> Slab:
        """One row with the keys and values of the tokens."""
        weights = self.network.weights
        if self._slab is None or self._changes != weights.changes:
            self._slab = Slab(
                self.network.config, max(len(self.tokens), 1), weights.device, weights.dtype
            )
            self._slab.resize(1)
            self._slab.add(0)
            self._changes = weights.changes
            for start in range(0, len(self.tokens), self.chunk):
                self._read(self._slab, start)
        return self._slab

    def _read(self, slab: Slab, start: int) -> None:
        ids = self.tokens[start : start + self.chunk]
        positions = np.arange(start, start + len(ids))
        attention = ChunkAttention(
            self.network.config, slab, _one(0), _one(start), _one(len(ids)), positions
        )
        self.network.read(self.network.tensor(ids), self.network.tensor(positions), attention)


@torch.inference_mode()
def _score(
    trees: Sequence[Tree], stem: _Stem, network: Network, vocab_size: int
) -> list[tuple[int, Score]]:
    shared, slab = len(stem.tokens), stem.slab()
    layouts = [_Layout(tree, shared) for tree in trees]
    positions, branches, ids = (
        np.concatenate([getattr(layout, name) for layout in layouts])
        for name in ("positions", "branches", "ids")
    )
    lengths = np.array([len(layout.ids) for layout in layouts])
    attention = ChunkAttention(
        network.config,
        slab,
        np.zeros(len(trees), dtype=np.int64),
        np.full(len(trees), shared),
        lengths,
        positions,
        branches=branches,
        store=False,
    )
    hidden = network.hidden_states(network.tensor(ids), network.tensor(positions), attention)
    firsts = lengths.cumsum() - lengths
    predicting = [first + layout.predicting for first, layout in zip(firsts, layouts, strict=True)]
    answers = [np.concatenate(tree.branches) for tree in trees]
    logprobs, greedy = network.logprobs(
        hidden, np.concatenate(predicting), np.concatenate(answers), vocab_size
    )
    return _scores(trees, logprobs, greedy)


class _Layout:
    """A tree as a row of tokens: what is left of the context, then the branches.

    Attributes:
        ids: [T] the tokens.
        positions: [T] of each in its sequence.
        branches: [T] number of each one's branch from 1, 0 in the context.
        predicting: Which of them predicts each token of the branches.
    """

    def __init__(self, tree: Tree, shared: int) -> None:
        read = [branch[:-1] for branch in tree.branches]
        sizes = np.array([len(each) for each in read], dtype=np.int64)
        end, trunk = len(tree.context), len(tree.context) - shared
        self.ids = np.concatenate([tree.context[shared:], *read])
        behind = [np.arange(end, end + size) for size in sizes]
        self.positions = np.concatenate([np.arange(shared, end), *behind])
        of_branch = np.repeat(np.arange(1, len(sizes) + 1), sizes)
        self.branches = np.concatenate([np.zeros(trunk, dtype=np.int64), of_branch])
        starts = trunk + sizes.cumsum() - sizes
        self.predicting = np.concatenate(
            [
                np.concatenate(([trunk - 1], np.arange(start, start + size)))
                for start, size in zip(starts, sizes, strict=True)
            ]
        )


def _scores(
    trees: Sequence[Tree], logprobs: NDArray[np.float32], greedy: NDArray[np.bool_]
) -> list[tuple[int, Score]]:
    scores, first = list[tuple[int, Score]](), 0
    for tree in trees:
        for branch, numbers in zip(tree.branches, tree.numbers, strict=True):
            part = slice(first, first + len(branch))
            score = Score(logprobs[part].tolist(), bool(greedy[part].all()))
            scores += [(number, score) for number in numbers]
            first += len(branch)
    return scores


def _one(value: int) -> Ints:
    return np.array([value], dtype=np.int64)
