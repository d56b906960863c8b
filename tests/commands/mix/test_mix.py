"""Mixtures as artifacts: made, trained on, fitted to what came of it, frozen into the next."""

import json

import pytest
import yaml

from olmoflow.artifact import find

WORDS = {
    "code": "def return import class self for in if else none ",
    "prose": "the of and to a in that is was he for it with as ",
    "sums": "one plus two is three and four minus three is one ",
}


@pytest.fixture
def kinds(tiny):
    """Shards ``code``, ``prose`` and ``sums`` of one encoding; ``all`` has all three."""
    file = tiny.folder / "kinds.jsonl"
    if not file.exists():
        rows = [
            json.dumps({"text": f"{n} {words * (4 + n % 5)}", "source": kind})
            for n in range(60)
            for kind, words in WORDS.items()
            if kind != "sums" or n < 15
        ]
        file.write_text("\n".join(rows))
        split = ["pipeline=documents", "pipeline.heldout_fraction=0.3"]
        tiny("curate", *split, f"source={file}", "name=kinds")
        made = tiny("tokenize", "corpus=kinds", "tokenizer.vocab_size=320", "name=all")
        encoding = ["tokenizer=folder", f"tokenizer.source={made['tokenizer']}"]
        for kind in WORDS:
            tiny("tokenize", "corpus=kinds", *encoding, f"source={kind}", f"name={kind}")
    return tiny


ALL = "shards=[code,prose,sums]"


def test_one_source_of_a_corpus_becomes_shards_of_its_own(kinds):
    whole, parts = find("all").figures, [find(kind).figures for kind in WORDS]
    for split in ("train", "heldout"):
        for count in ("documents", "tokens", "bytes"):
            total = sum(part["splits"][split][count] for part in parts)
            assert total == whole["splits"][split][count]
    error = kinds("tokenize", "corpus=kinds", "tokenizer.vocab_size=320", "source=co", status=2)
    assert "olmoflow: source=co: " in error
    assert error.endswith("/train has no document of it; there are code, prose, sums")


def test_natural_fixed_and_capped(kinds):
    made = kinds("mix", ALL)
    tokens = {name: about["tokens"] for name, about in made["domains"].items()}
    total = sum(tokens.values())
    assert made["proportions"]["natural"] == pytest.approx(
        {n: t / total for n, t in tokens.items()}
    )
    assert made["mixtures"] == [f"{made['mixture']}/natural"]
    made = kinds("mix", ALL, "rule=fixed", "proportions={code: 1, sums: 3}")
    assert made["proportions"]["fixed"] == {"code": 0.25, "sums": 0.75}
    capped = kinds(
        *["mix", ALL, "rule=fixed", "proportions={code: 1, sums: 3}", "max_repetition=2"],
        *[f"target_tokens={4 * tokens['sums']}", "olmo_core={code: [c.npy], sums: [s.npy]}"],
    )
    assert capped["proportions"]["fixed"] == pytest.approx({"code": 0.5, "sums": 0.5})
    folder = kinds.home / "mixture" / capped["mixture"]
    ours = yaml.safe_load((folder / "mixtures" / "fixed.yaml").read_text())
    assert [s["max_repetition"] for s in ours["sources"]] == [2.0, 2.0]
    theirs = yaml.safe_load((folder / "olmo_core" / "fixed.yaml").read_text())["sources"]
    assert [s["target_ratio"] for s in theirs] == pytest.approx([0.5, 0.5])


def test_a_run_takes_its_sources_from_a_mixture(kinds):
    made = kinds("mix", ALL, "rule=fixed", "proportions={code: 1, sums: 3}")
    run = kinds("train", f"mixture={made['mixture']}", *kinds.settings)
    found = find(run["checkpoint"])
    assert {i.kind for i in found.inputs} == {"shards", "mixture"}
    sources = found.provenance["config"]["data"]["sources"]
    assert [s["proportion"] for s in sources] == [0.25, 0.75]
    assert [s["shards"] for s in sources] == [find("code").key, find("sums").key]
    # The same file from somebody's own folder, and as a data= choice.
    file = kinds.home / "mixture" / made["mixture"] / "mixtures" / "fixed.yaml"
    own = kinds.folder / "own.yaml"
    own.write_text(file.read_text())
    both = kinds("train", "mixture=own.yaml", "shards=all", *kinds.settings, status=2)
    assert "shards=all: a mixture= names its own" in both
    again = kinds("train", "mixture=own.yaml", *kinds.settings)
    assert again["final"]["train/CE loss"] == run["final"]["train/CE loss"]
    error = kinds("train", f"mixture={made['mixture']}/none", *kinds.settings, status=2)
    assert f"expected {made['mixture']}/MEMBER, one of fixed" in error


def test_shards_of_two_tokenizers_are_not_trained_on_together(kinds):
    made = kinds("mix", "shards=[code,s]")
    error = kinds("train", f"mixture={made['mixture']}", *kinds.settings, status=2)
    assert "sources[1].shards=s: tokenized in another vocabulary than that of data.sour" in error
    assert error.endswith("expected shards made with tokenizer=folder tokenizer.source=code")


@pytest.fixture
def swarm(kinds):
    """Five trained and scored mixtures."""
    file = kinds.folder / "swarm.json"
    if not file.exists():
        made = kinds("mix", ALL, "rule=swarm", "swarm.runs=5")
        runs = kinds("train", "-m", f"mixture={','.join(made['mixtures'])}", *kinds.settings)
        names = [job["result"]["checkpoint"] for job in runs["jobs"]]
        quiet = ["shards=all", "runtime.progress=false"]
        kinds("evaluate", "-m", f"checkpoint={','.join(names)}", *quiet)
        file.write_text(json.dumps([made, names]))
    return json.loads(file.read_text())


def test_a_swarm_is_fitted_and_the_proposal_trained_on(kinds, swarm):
    made, names = swarm
    assert [m.partition("/")[2] for m in made["mixtures"]] == ["000", "001", "002", "003", "004"]
    assert made["proportions"]["000"] == pytest.approx(kinds("mix", ALL)["proportions"]["natural"])
    arguments = ["mix", ALL, "rule=fitted", f"runs=[{','.join(names)}]", "fit.starts=5"]
    fitted = kinds(*arguments)
    assert [m.partition("/")[2] for m in fitted["mixtures"]] == ["prior", "proposal"]
    assert set(fitted["law"]) == set(WORDS)
    assert sum(fitted["proportions"]["proposal"].values()) == pytest.approx(1)
    mean = {k: sum(law[k] for law in fitted["law"].values()) for k in ("prior", "proposal")}
    assert mean["proposal"] <= mean["prior"] + 1e-6
    kinds("train", f"mixture={fitted['mixtures'][1]}", *kinds.settings)
    sums = kinds(*arguments, "fit.tasks=[sums]", "fit.kl=0")
    assert set(sums["law"]) == {"sums"}
    page = (kinds.home / "mixture" / fitted["mixture"] / "page.md").read_text()
    assert "| prose |" in page
    report = kinds("report", f"runs=[{','.join(names)}]", f"about=[{fitted['mixture']}]",
                   "baseline=*/000", "metrics=[bits_per_byte/macro]", "target=out")  # fmt: skip
    assert len(report["rows"]) == 5
    written = (kinds.folder / "out" / "README.md").read_text()
    assert page in written
    assert "against mixture=" in written
    assert (kinds.folder / "out" / "fit.png").is_file()


def test_a_fit_says_what_it_lacks(kinds, swarm):
    _, names = swarm
    arguments = ["mix", ALL, "rule=fitted"]
    error = kinds(*arguments, f"runs=[{','.join(names[:2])}]", status=2)
    assert "swarm: 2 runs for 3 domains" in error
    assert "rule=fitted needs the swarm's checkpoints" in kinds(*arguments, status=2)
    error = kinds("mix", "shards=[code,prose]", "rule=fitted", f"runs=[{names[0]}]", status=2)
    assert "which are no domain" in error
    unscored = kinds("train", f"mixture={swarm[0]['mixtures'][0]}", *kinds.settings, "init_seed=9")
    error = kinds(*arguments, f"runs=[{unscored['checkpoint']}]", status=2)
    assert "has no scores of several tasks of bits_per_byte; run olmoflow evaluate" in error


def test_a_frozen_mixture_is_mixed_as_one(kinds):
    first = kinds("mix", "shards=[code,sums]", "rule=fixed", "proportions={code: 3, sums: 1}")
    made = kinds(
        *["mix", "shards=[prose]", f"frozen={{old: {first['mixture']}/fixed}}", "rule=fixed"],
        "proportions={prose: 1, old: 1}",
    )
    shares = made["proportions"]["fixed"]
    assert shares == pytest.approx({"prose": 0.5, "code": 0.375, "sums": 0.125})
    again = ["mix", "shards=[code]", f"frozen={{old: {first['mixture']}/fixed}}"]
    assert "frozen.old: code is a domain already" in kinds(*again, status=2)
