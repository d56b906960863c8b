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


def test_a_document_that_is_too_long_is_counted(tiny):
    for label, words in (("good", "proof theorem lemma"), ("bad", "casino bonus click")):
        texts = [f"{words} {n} {words}" for n in range(40)] + [words * 99]
        rows = "\n".join(json.dumps({"text": text}) for text in texts)
        (tiny.folder / f"long_{label}.jsonl").write_text(rows)
    arguments = ["classify", "corpora={good: long_good.jsonl, bad: long_bad.jsonl}", "dimension=8"]
    arguments += ["hash_buckets=1000", "heldout_fraction=0.3", "max_document_bytes=1e3"]
    refused = tiny(*arguments, status=2)
    assert "long_good.jsonl:41: a line of 1,8" in refused
    assert "more than max_document_bytes=1,000 allows" in refused
    made = tiny(*arguments, "max_error_rate=0.1")
    assert made["malformed"] == 2
    lines = (find(made["classifier"]).path / "errors.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [41, 41]
    assert "a number of bytes above 0" in tiny(*arguments, "max_document_bytes=0", status=2)
