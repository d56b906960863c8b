"""A swarm: mixtures drawn around a prior, one for each proxy model.

Each is a draw from a Dirichlet distribution α = strength · prior, so the swarm is centred on the
prior; the strength says how closely it holds to it. It is drawn anew for every mixture, evenly in
its logarithm, so that a swarm has mixtures near the prior and mixtures of almost one domain. No two
are alike: with few domains that thins out the mixtures of one domain alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from olmoflow.curate.mixing.domains import Domain, Mixture, caps
from olmoflow.errors import UserError

# A draw may fail for its caps or be one that is there already; after so many, nothing will come.
_TRIES = 20_000
_ALIKE = 1e-3


def propose_swarm(
    domains: Sequence[Domain],
    prior: Mixture,
    runs: int | None = None,
    *,
    min_strength: float = 0.1,
    max_strength: float = 5.0,
    minimum_weight: float = 0.002,
    target_tokens: float | None = None,
    max_repetition: float = 4.0,
    include_prior: bool = True,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Draw the mixtures of a swarm; no two are alike.

    Args:
        domains: The domains.
        prior: [domains], the centre.
        runs: How many; None: five for each domain, as for Olmo 3.
        min_strength: Of the Dirichlet distribution.
        max_strength: Of the Dirichlet distribution.
        minimum_weight: What falls below becomes 0: a handful of documents teaches nothing.
        target_tokens: Tokens of a proxy's run, for the cap; None: no cap.
        max_repetition: How often a token may be seen.
        include_prior: The first mixture is the prior itself.
        seed: Of the draws.

    Returns:
        [runs, domains], each row sums to 1.

    Raises:
        UserError: There are fewer runs than domains, or not so many mixtures can be drawn.
    """
    runs = 5 * len(domains) if runs is None else runs
    if runs < len(domains):
        raise UserError(f"runs={runs}: expected at least one for each of {len(domains)} domains")
    if not 0 < min_strength <= max_strength:
        raise UserError(
            f"min_strength={min_strength:g}: expected more than 0 and at most "
            f"max_strength={max_strength:g}"
        )
    limits = caps(domains, target_tokens, max_repetition)
    if include_prior and (prior > limits * (1 + 1e-9)).any():
        worst = int(np.argmax(prior / limits))
        raise UserError(
            f"prior: {domains[worst].name} would be seen more than max_repetition="
            f"{max_repetition:g} times in target_tokens={target_tokens:g}; expected fewer tokens, "
            "more repetition or include_prior=false"
        )
    generator = np.random.default_rng(seed)
    found: list[Mixture] = [prior] if include_prior else []
    for _ in range(_TRIES):
        if len(found) == runs:
            return np.array(found)
        strength = np.exp(generator.uniform(np.log(min_strength), np.log(max_strength)))
        drawn = _draw(generator, strength * prior, minimum_weight)
        if drawn is None or (drawn > limits).any():
            continue
        if all(np.abs(drawn - other).max() > _ALIKE for other in found):
            found.append(drawn)
    raise UserError(
        f"runs={runs}: only {len(found)} different mixtures keep within the caps; expected fewer "
        "runs, more repetition or a larger max_strength"
    )


def _draw(generator: np.random.Generator, alpha: Mixture, minimum_weight: float) -> Mixture | None:
    """A mixture without its smallest weights; None where nothing is left of it."""
    drawn = np.zeros(len(alpha))
    present = alpha > 0
    drawn[present] = generator.dirichlet(alpha[present])
    drawn[~(drawn >= minimum_weight)] = 0.0
    total = drawn.sum()
    return drawn / total if total > 0 else None
