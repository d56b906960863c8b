"""Proportions, caps, frozen domains, swarms, and mixtures as files."""

import numpy as np
import pytest
import yaml

from olmoflow.curate.mixing.domains import Domain, caps, collapse, expand, freeze
from olmoflow.curate.mixing.files import read_mixture, write_mixture, write_olmo_core
from olmoflow.curate.mixing.proportions import fixed, natural, token_constrained
from olmoflow.curate.mixing.swarm import propose_swarm
from olmoflow.errors import UserError

WEB, CODE, MATH = Domain("web", 900.0), Domain("code", 90.0), Domain("math", 10.0)
ALL = [WEB, CODE, MATH]


def test_natural_is_by_size_and_a_temperature_evens_it_out():
    np.testing.assert_allclose(natural(ALL), [0.9, 0.09, 0.01])
    np.testing.assert_allclose(natural(ALL, temperature=0.0), [1 / 3] * 3)
    half = np.sqrt([900, 90, 10])
    np.testing.assert_allclose(natural(ALL, 0.5), half / half.sum())


def test_fixed_takes_names_and_refuses_strangers():
    np.testing.assert_allclose(fixed(ALL, {"code": 3, "web": 1}), [0.25, 0.75, 0])
    with pytest.raises(UserError, match=r"proportions\.cod: no such domain; there are web, code"):
        fixed(ALL, {"cod": 1})
    with pytest.raises(UserError, match="expected 3 numbers of at least 0"):
        fixed(ALL, {"code": -1, "web": 2})


def test_what_a_cap_takes_goes_to_the_others_which_it_may_cap_in_turn():
    # 200 tokens, each seen twice at most: math ≤ 20 / 200, code ≤ 180 / 200.
    shares = token_constrained(np.array([0.1, 0.3, 0.6]), ALL, 200, max_repetition=2)
    np.testing.assert_allclose(shares, [0.9 / 4, 0.9 * 3 / 4, 0.1])
    # 1,000 tokens once: math and code are capped, code only after it got from math.
    shares = token_constrained(np.array([0.5, 0.09, 0.41]), ALL, 950, max_repetition=1)
    np.testing.assert_allclose(shares, [1 - 100 / 950, 90 / 950, 10 / 950])
    # What is not wanted gets nothing, whatever room it has.
    shares = token_constrained(np.array([0.0, 0.5, 0.5]), ALL, 100, max_repetition=1)
    np.testing.assert_allclose(shares, [0, 0.9, 0.1])
    with pytest.raises(UserError, match="max_repetition=1 allows no more than 100 tokens"):
        token_constrained(np.array([0.0, 0.5, 0.5]), ALL, 101, max_repetition=1)
    with pytest.raises(UserError, match="no more than 4000 tokens of these domains"):
        caps(ALL, 4001, 4)


def test_a_frozen_mixture_is_one_domain_whose_scarcest_part_limits_it():
    stem = freeze("stem", [CODE, MATH], [0.8, 0.2])
    assert stem.tokens == 100
    assert stem.usable == 50  # a fifth of 50 is all of math
    assert stem.parts == {"code": 0.8, "math": 0.2}
    np.testing.assert_allclose(caps([WEB, stem], 100, 1), [1.0, 0.5])
    both = freeze("all", [WEB, stem], [0.5, 0.5])
    assert both.parts == pytest.approx({"web": 0.5, "code": 0.4, "math": 0.1})
    assert both.usable == 100
    # A domain may stand in a virtual one and by itself.
    assert expand([stem, MATH], [0.5, 0.5]) == pytest.approx({"code": 0.4, "math": 0.6})
    assert expand([WEB, MATH], [1, 0]) == {"web": 1.0}


def test_the_shares_of_a_run_say_what_the_domains_had():
    domains = [WEB, freeze("stem", [CODE, MATH], [0.8, 0.2])]
    shares = expand(domains, [0.3, 0.7])
    np.testing.assert_allclose(collapse(domains, shares, "a run"), [0.3, 0.7])
    np.testing.assert_allclose(collapse(domains, {"web": 1.0}, "a run"), [1, 0])
    with pytest.raises(UserError, match=r"a run: (code|math) is 0\..* of the frozen domain stem"):
        collapse(domains, {"web": 0.3, "code": 0.6, "math": 0.1}, "a run")
    with pytest.raises(UserError, match="a run: was trained on law, which is none"):
        collapse(domains, {"law": 1.0}, "a run")


def test_a_swarm_is_centred_on_its_prior_and_keeps_to_its_caps():
    prior = natural(ALL, 0.5)
    # Weak draws are often the one large domain alone, which counts once.
    settings = {"runs": 400, "include_prior": False, "min_strength": 3.0, "seed": 3}
    swarm = propose_swarm(ALL, prior, **settings)
    assert swarm.shape == (400, 3)
    np.testing.assert_allclose(swarm.sum(axis=1), 1)
    np.testing.assert_allclose(swarm.mean(axis=0), prior, atol=0.05)
    assert swarm[swarm > 0].min() >= 0.002
    assert (swarm == 0).any()
    assert np.array_equal(swarm, propose_swarm(ALL, prior, **settings))
    capped = propose_swarm(
        ALL, natural(ALL), 30, target_tokens=100, max_repetition=2, min_strength=2.0, seed=1
    )
    np.testing.assert_allclose(capped[0], natural(ALL))
    assert (capped <= [1, 1, 0.2]).all()
    distances = np.abs(capped[:, None] - capped[None]).max(axis=2) + np.eye(30)
    assert distances.min() > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runs": 2}, "runs=2: expected at least one for each of 3 domains"),
        ({"min_strength": 9.0}, "min_strength=9: expected more than 0 and at most max_strength=5"),
        ({"target_tokens": 999.0, "max_repetition": 1.0}, "prior: web would be seen more"),
        ({"min_strength": 1e-9, "max_strength": 1e-9}, "only 3 different mixtures"),
    ],
)
def test_a_swarm_that_cannot_be_is_refused(settings, message):
    prior = np.array([0.98, 0.01, 0.01])
    if "max_strength" in settings:
        settings["include_prior"] = False
    with pytest.raises(UserError, match=message):
        propose_swarm(ALL, prior, **settings)


def test_a_mixture_comes_back_from_its_file(tmp_path):
    path = tmp_path / "mix.yaml"
    write_mixture(path, {"web": 0.75, "code": 0.25}, 4, "Of two.\nThe second line.")
    assert path.read_text().startswith("# Of two.\n# The second line.\n")
    assert read_mixture(path) == [
        {
            "_target_": "olmoflow.tokens.Source",
            "shards": name,
            "proportion": share,
            "max_repetition": 4.0,
            "shuffle_chunks": None,
        }
        for name, share in (("web", 0.75), ("code", 0.25))
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("sources: []", "has no sources"),
        ("- 1", "has no sources"),
        ("sources: [{proportion: 1}]", r"sources\[0\] names no shards"),
        ("sources: [{shards: a, _target_: os.system}]", r"sources\[0\]\._target_: expected olmof"),
    ],
)
def test_a_file_that_is_no_mixture_is_named(tmp_path, text, message):
    (tmp_path / "mix.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_mixture(tmp_path / "mix.yaml")
    with pytest.raises(UserError, match="No such file"):
        read_mixture(tmp_path / "none.yaml")


def test_olmo_core_gets_its_own_keys(tmp_path):
    path = tmp_path / "mix.yaml"
    write_olmo_core(path, {"web": 0.75, "code": 0.25}, 0.5, {"web": ["a/*.npy"], "code": ["b.npy"]})
    sources = yaml.safe_load(path.read_text())["sources"]
    assert sources[0] == {
        "source_name": "web",
        "target_ratio": 0.75,
        "max_repetition_ratio": 1.0,
        "paths": ["a/*.npy"],
    }
    with pytest.raises(UserError, match=r"paths\.code: missing"):
        write_olmo_core(path, {"web": 0.75, "code": 0.25}, 1, {"web": ["a"]})
