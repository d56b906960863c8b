"""The law recovers what made the scores, and the proposer finds the optimum."""

import itertools

import numpy as np
import pytest

from olmoflow.curate.mixing.domains import Domain, caps, expand, freeze
from olmoflow.curate.mixing.law import Law, fit_law, left_out
from olmoflow.curate.mixing.proportions import natural
from olmoflow.curate.mixing.proposer import objective, propose
from olmoflow.curate.mixing.swarm import propose_swarm
from olmoflow.errors import UserError

DOMAINS = [Domain("web", 900.0), Domain("code", 400.0), Domain("math", 200.0)]
PRIOR = natural(DOMAINS)
TRUE = Law(
    ("prose", "python", "sums"),
    np.log([0.8, 0.4, 0.6]),
    np.array([[-1.5, 0.3, 0.1], [0.5, -2.0, -0.2], [0.4, -0.6, -1.8]]),
)


@pytest.fixture(scope="module")
def swarm():
    mixtures = propose_swarm(DOMAINS, PRIOR, 24, seed=5)
    return mixtures, TRUE.predict(mixtures)


def test_without_noise_the_law_predicts_mixtures_it_has_not_seen(swarm):
    mixtures, scores = swarm
    law = fit_law(mixtures, scores, TRUE.tasks, starts=30)
    unseen = np.random.default_rng(1).dirichlet([1, 1, 1], 200)
    np.testing.assert_allclose(law.predict(unseen), TRUE.predict(unseen), atol=2e-4)


def test_a_failed_run_does_not_bend_the_law(swarm):
    mixtures, scores = swarm
    spoilt = scores.copy()
    spoilt[7] += 3.0
    law = fit_law(mixtures, spoilt, TRUE.tasks, starts=30)
    others = np.arange(len(mixtures)) != 7
    # As a parabola it would be off by about 3 / 24 everywhere.
    assert np.abs(law.predict(mixtures[others]) - scores[others]).max() < 0.03


def test_under_noise_what_was_left_out_is_predicted_to_within_it(swarm):
    mixtures, scores = swarm
    noise = np.random.default_rng(2).normal(0, 0.005, scores.shape)
    predicted = left_out(mixtures, scores + noise, TRUE.tasks, folds=6, starts=5)
    assert np.abs(predicted - scores).mean() < 0.01
    for task in range(3):
        assert np.corrcoef(predicted[:, task], scores[:, task])[0, 1] > 0.98


def test_fewer_runs_than_domains_tell_nothing():
    with pytest.raises(UserError, match="swarm: 2 runs for 3 domains; the law needs at least"):
        fit_law(np.eye(3)[:2], np.ones((2, 1)), ["a"])
    with pytest.raises(UserError, match="expected finite numbers above 0"):
        fit_law(np.eye(3), np.zeros((3, 1)), ["a"])


@pytest.mark.parametrize(("kl", "target"), list(itertools.product([0.0, 0.05, 1.0], [None, 2000])))
def test_the_proposer_finds_what_a_dense_grid_finds(kl, target):
    limits = caps(DOMAINS, target, 4)
    proposal = propose(TRUE, PRIOR, limits, kl)
    assert proposal.sum() == pytest.approx(1)
    assert (proposal <= limits + 1e-6).all()
    steps = np.linspace(0, 1, 401)
    first, second = np.meshgrid(steps, steps, indexing="ij")
    grid = np.stack([first, second, 1 - first - second], axis=2).reshape(-1, 3)
    grid = np.clip(grid[grid[:, 2] > -1e-12], 0, None)
    grid = grid[(grid <= limits + 1e-12).all(axis=1)]
    values = objective(grid, TRUE, PRIOR, kl)
    found = objective(proposal[None], TRUE, PRIOR, kl)[0]
    assert found <= values.min() + 1e-6
    assert np.abs(proposal - grid[values.argmin()]).max() < 0.01


def test_a_later_round_is_best_along_what_the_first_has_frozen():
    first = propose(TRUE, np.array([0.5, 0.5, 0.0]))
    frozen = freeze("old", DOMAINS[:2], first[:2])
    domains = [frozen, DOMAINS[2]]
    inner = np.array([[frozen.parts["web"], frozen.parts["code"], 0.0], [0, 0, 1]])
    # A law of the leaves is one of the virtual domains too, with slopes between theirs.
    law = Law(TRUE.tasks, TRUE.floors, TRUE.slopes @ inner.T)
    shares = expand(domains, propose(law, np.array([0.5, 0.5]), kl=0.0))
    proposal = np.array([shares[domain.name] for domain in DOMAINS])
    line = np.stack([w * inner[0] + (1 - w) * inner[1] for w in np.linspace(0, 1, 2001)])
    best = TRUE.predict(line).mean(axis=1).min()
    assert TRUE.predict(proposal[None]).mean() == pytest.approx(best, abs=1e-6)
    assert best < TRUE.predict(first[None]).mean()


def test_a_strong_prior_is_kept_and_an_empty_domain_stays_empty():
    np.testing.assert_allclose(propose(TRUE, PRIOR, kl=1e4), PRIOR, atol=1e-3)
    half = np.array([0.5, 0.5, 0.0])
    assert propose(TRUE, half)[2] == 0
    with pytest.raises(UserError, match=r"caps: they let the domains of the prior make up 0\.6"):
        propose(TRUE, half, np.array([0.3, 0.3, 1.0]))
