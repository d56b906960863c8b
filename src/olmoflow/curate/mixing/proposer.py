"""The mixture that a law makes best, found exactly.

The law's exponentials are convex in the mixture, so the problem is convex and has one optimum:

    minimise  mean over tasks of e^(t·w)  +  λ · KL(w ‖ prior)
    so that   w ≥ 0,  Σ w = 1,  w_i ≤ cap_i

The KL term keeps the proposal where the swarm has been, for a law knows nothing of other places.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from olmoflow.curate.mixing.domains import Mixture
from olmoflow.curate.mixing.law import Law
from olmoflow.errors import UserError

KL = 0.05
# Shares below this are the solver's rounding.
_NOTHING = 1e-7


def objective(
    mixtures: NDArray[np.float64], law: Law, prior: Mixture, kl: float = KL
) -> NDArray[np.float64]:
    """What the proposer minimises, the floors included: [runs, domains] -> [runs].

    A mixture that has what the prior has not is infinitely far from it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(mixtures > 0, mixtures * np.log(mixtures / prior), 0.0)
    return np.asarray(law.predict(mixtures).mean(axis=1) + kl * terms.sum(axis=1))


def propose(law: Law, prior: Mixture, limits: Mixture | None = None, kl: float = KL) -> Mixture:
    """The best mixture under a law.

    Args:
        law: Of every task that counts.
        prior: [domains], where the swarm was centred. A domain at 0 stays there.
        limits: [domains], the largest share of each, from `domains.caps`; None: no limit.
        kl: λ; 0 follows the law wherever it leads.

    Returns:
        [domains], sums to 1.

    Raises:
        UserError: The limits leave no mixture.
    """
    # What cvxpy exports, a type checker does not see.
    cvxpy: Any = import_module("cvxpy")
    limits = np.ones(len(prior)) if limits is None else limits
    used = np.flatnonzero(prior > 0)
    if limits[used].sum() < 1:
        raise UserError(
            f"caps: they let the domains of the prior make up {limits[used].sum():.3g} of a "
            "mixture; expected 1 or more (fewer target_tokens or more max_repetition)"
        )
    share = cvxpy.Variable(len(used))
    above = cvxpy.sum(cvxpy.exp(law.slopes[:, used] @ share)) / len(law.tasks)
    # Both sum to 1, so that this sum of w·log(w/p) − w + p is the divergence.
    divergence = cvxpy.sum(cvxpy.kl_div(share, prior[used]))
    problem = cvxpy.Problem(
        cvxpy.Minimize(above + kl * divergence),
        [share >= 0, cvxpy.sum(share) == 1, share <= limits[used]],
    )
    problem.solve(solver=cvxpy.CLARABEL)
    if problem.status not in ("optimal", "optimal_inaccurate") or share.value is None:
        raise RuntimeError(f"the proposer ended {problem.status}")
    mixture = np.zeros(len(prior))
    found = np.clip(share.value, 0.0, limits[used])
    mixture[used] = np.where(found > _NOTHING, found, 0.0)
    return np.asarray(mixture / mixture.sum())
