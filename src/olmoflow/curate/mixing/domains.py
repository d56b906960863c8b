"""Domains of text, and several of them frozen into one.

Conditional mixing optimises in rounds: what an earlier round has settled becomes one virtual
domain, whose inner proportions stay, and only it and what is new are mixed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from olmoflow.errors import UserError

Mixture = NDArray[np.float64]
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Domain:
    """What proportions are given to.

    Attributes:
        name: Its name; for a domain that is trained on, that of its token shards.
        tokens: Its size.
        parts: For a virtual domain, the share of each domain within it; they sum to 1.
        usable: Tokens that can be drawn before any part of it begins to repeat.
    """

    name: str
    tokens: float
    parts: Mapping[str, float] = field(default_factory=dict)
    usable: float = -1.0

    def __post_init__(self) -> None:
        if not self.tokens > 0:
            raise UserError(f"domain {self.name}: {self.tokens:g} tokens; expected more than 0")
        if self.usable < 0:
            object.__setattr__(self, "usable", self.tokens)


def freeze(name: str, domains: Sequence[Domain], mixture: ArrayLike) -> Domain:
    """Several domains as one, whose inner proportions no longer change.

    It repeats as soon as the scarcest of its parts does, so a virtual domain may be larger than
    what can be drawn from it without repetition.

    Raises:
        UserError: The mixture does not fit the domains.
    """
    weights = as_mixture(mixture, domains)
    used = [(domain, weight) for domain, weight in zip(domains, weights, strict=True) if weight > 0]
    return Domain(
        name,
        tokens=sum(domain.tokens for domain, _ in used),
        parts=expand([domain for domain, _ in used], [weight for _, weight in used]),
        usable=min(domain.usable / weight for domain, weight in used),
    )


def expand(domains: Sequence[Domain], mixture: ArrayLike) -> dict[str, float]:
    """The share of every domain that is trained on, virtual ones taken apart; zeros are left out.

    Raises:
        UserError: The mixture does not fit the domains.
    """
    shares: dict[str, float] = {}
    for domain, weight in zip(domains, as_mixture(mixture, domains), strict=True):
        for name, share in (domain.parts or {domain.name: 1.0}).items():
            if weight * share > 0:
                shares[name] = shares.get(name, 0.0) + float(weight * share)
    return shares


def collapse(domains: Sequence[Domain], shares: Mapping[str, float], what: str) -> Mixture:
    """The proportions of domains, virtual ones among them, that make up shares: undoes `expand`.

    Args:
        domains: The domains; no two hold the same.
        shares: By what is trained on; they sum to 1.
        what: Whose shares they are, for messages.

    Raises:
        UserError: Something else was trained on, or a frozen domain in other proportions.
    """
    owner = {part: number for number, d in enumerate(domains) for part in d.parts or {d.name: 1.0}}
    weights = np.zeros(len(domains))
    for name, share in shares.items():
        if name not in owner:
            raise UserError(f"{what}: was trained on {name}, which is none of the domains")
        weights[owner[name]] += share
    expected = expand(domains, weights)
    for name in shares.keys() | expected.keys():
        if abs(shares.get(name, 0.0) - expected.get(name, 0.0)) > _ROUNDING:
            raise UserError(
                f"{what}: {name} is {shares.get(name, 0.0):.4g} of its mixture, not the "
                f"{expected.get(name, 0.0):.4g} of the frozen domain {domains[owner[name]].name}"
            )
    return weights


def as_mixture(proportions: ArrayLike, domains: Sequence[Domain]) -> Mixture:
    """Proportions as an array that sums to 1.

    Raises:
        UserError: There is not one for each domain, one is negative, or all are 0.
    """
    weights: Mixture = np.asarray(proportions, np.float64)
    fits = weights.shape == (len(domains),) and np.isfinite(weights).all() and (weights >= 0).all()
    if not fits or weights.sum() <= 0:
        raise UserError(
            f"proportions={weights.tolist()}: expected {len(domains)} numbers of at least 0, one "
            f"a domain ({', '.join(d.name for d in domains)}), not all of them 0"
        )
    return np.asarray(weights / weights.sum())


def caps(domains: Sequence[Domain], target_tokens: float | None, max_repetition: float) -> Mixture:
    """The largest proportion that each domain may have: w_i · target ≤ repetition · tokens_i.

    Args:
        domains: The domains.
        target_tokens: Tokens of the whole training run; None: no limit.
        max_repetition: How often a token may be seen.

    Returns:
        [domains], at most 1 each.

    Raises:
        UserError: All domains together are too few for so many tokens.
    """
    if target_tokens is None:
        return np.ones(len(domains))
    usable = max_repetition * np.array([domain.usable for domain in domains])
    if usable.sum() < target_tokens:
        raise UserError(
            f"target_tokens={target_tokens:g}: max_repetition={max_repetition:g} allows no more "
            f"than {usable.sum():g} tokens of these domains"
        )
    return np.minimum(usable / target_tokens, 1.0)
