"""Proportions that are stated rather than learnt: natural, fixed, and held within caps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from olmoflow.curate.mixing.domains import Domain, Mixture, as_mixture, caps
from olmoflow.errors import UserError


def natural(domains: Sequence[Domain], temperature: float = 1.0) -> Mixture:
    """Proportions by size, p_i ∝ tokens_i^temperature.

    Args:
        domains: The domains.
        temperature: 1 takes the text as it lies; towards 0 all domains become equal.
    """
    sizes = np.array([domain.tokens for domain in domains], np.float64)
    powers: Mixture = (sizes / sizes.max()) ** temperature
    return np.asarray(powers / powers.sum())


def fixed(domains: Sequence[Domain], proportions: Mapping[str, float]) -> Mixture:
    """Proportions as given by name; a domain that is not named gets nothing.

    Raises:
        UserError: A name is no domain, or the proportions are none.
    """
    names = [domain.name for domain in domains]
    for name in proportions:
        if name not in names:
            raise UserError(f"proportions.{name}: no such domain; there are {', '.join(names)}")
    return as_mixture([float(proportions.get(name, 0.0)) for name in names], domains)


def token_constrained(
    wanted: Mixture,
    domains: Sequence[Domain],
    target_tokens: float,
    max_repetition: float,
) -> Mixture:
    """The wanted proportions, held within what repetition allows.

    What a capped domain loses goes to the others in their proportions, which may cap them in turn;
    a domain that is not wanted at all stays at 0.

    Args:
        wanted: [domains], sums to 1.
        domains: The domains.
        target_tokens: Tokens of the whole training run.
        max_repetition: How often a token may be seen.

    Raises:
        UserError: The wanted domains are too small for so many tokens.
    """
    limits = np.where(wanted > 0, caps(domains, target_tokens, max_repetition), 0.0)
    if limits.sum() < 1:
        raise UserError(
            f"target_tokens={target_tokens:g}: max_repetition={max_repetition:g} allows no more "
            f"than {limits.sum() * target_tokens:g} tokens of the domains with a proportion"
        )
    capped = np.zeros(len(domains), bool)
    while True:
        free = np.where(capped, 0.0, wanted)
        room = 1.0 - limits[capped].sum()
        if free.sum() <= 0:
            return np.asarray(limits / limits.sum())
        shares: Mixture = np.where(capped, limits, free / free.sum() * room)
        over = ~capped & (shares > limits * (1 + 1e-12))
        if not over.any():
            return shares
        capped |= over
