"""A classifier as an artifact."""

import json

import fasttext

from olmoflow.artifact import find


def test_labelled_corpora_become_a_classifier(tiny):
    for label, words in (("good", "proof theorem lemma"), ("bad", "casino bonus click")):
        rows = (json.dumps({"text": f"{words} {n} {words}"}) for n in range(80))
        (tiny.folder / f"{label}.jsonl").write_text("\n".join(rows))
    tiny("curate", "pipeline=documents", "source=good.jsonl", "name=good")
    arguments = ["corpora={good: good, bad: bad.jsonl}", "dimension=8", "hash_buckets=1000"]
    made = tiny("classify", *arguments, "heldout_fraction=0.3", "name=quality")
    assert made["accuracy"] > 0.9
    assert set(made["labels"]) == {"good", "bad"}
    found = find("quality")
    assert found.kind == "classifier"
    assert {i.role: i.kind for i in found.inputs} == {
        "corpora.good": "corpus",
        "corpora.bad": "external",
    }
    assert {p.name for p in found.path.iterdir()} >= {"model.bin", "metrics.json"}
    assert not (found.path / "lines").exists()
    assert fasttext.load_model(made["model"]).predict("a lemma")[0] == ("__label__good",)
    assert "corpora=good: expected {LABEL" in tiny("classify", "corpora=good", status=2)
