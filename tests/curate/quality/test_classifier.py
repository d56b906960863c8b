"""A classifier learns what tells its labels apart, and says how well."""

import json

import fasttext
import pytest

from olmoflow.curate.quality import classifier
from olmoflow.curate.quality.classifier import one_line, train_classifier
from olmoflow.errors import UserError

GOOD = "the theorem follows from a careful proof by induction over finite sets"
BAD = "click here to buy cheap pills now best offer free casino bonus"


def corpus(path, words, number=300):
    words = words.split()
    lines = (
        json.dumps({"text": " ".join(words[(n * k) % len(words)] for k in range(1, 9)) + f"\n{n}"})
        for n in range(number)
    )
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def corpora(tmp_path):
    return {"hq": corpus(tmp_path / "hq.jsonl", GOOD), "lq": corpus(tmp_path / "lq.jsonl", BAD)}


def test_it_is_saved_scored_on_what_it_has_not_seen_and_the_same_again(corpora, tmp_path):
    settings = {"hash_buckets": 1000, "dimension": 8, "heldout_fraction": 0.2, "epochs": 10}
    report = train_classifier(corpora, tmp_path / "a" / "q.bin", tmp_path, **settings)
    assert report.accuracy > 0.95
    assert 0.4 < report.chance < 0.65
    for label, scores in report.labels.items():
        assert scores.train + scores.heldout == 300
        assert 30 < scores.heldout < 90
        assert sum(report.confusion[label].values()) == scores.heldout
        assert scores.recall == report.confusion[label][label] / scores.heldout
    model = fasttext.load_model(str(tmp_path / "a" / "q.bin"))
    (labels, [probability]) = model.predict(one_line("a proof\nby induction"))
    assert labels == ("__label__hq",)
    assert probability > 0.5
    again = train_classifier(corpora, tmp_path / "b.bin", tmp_path, **settings)
    assert again == report
    assert (tmp_path / "b.bin").read_bytes() == (tmp_path / "a" / "q.bin").read_bytes()


def test_mistakes_are_named(corpora, tmp_path):
    def train(found, **settings):
        train_classifier(found, tmp_path / "q.bin", tmp_path, **settings)

    with pytest.raises(UserError, match=r"corpora=\['hq'\]: expected two labels or more"):
        train({"hq": corpora["hq"]})
    with pytest.raises(UserError, match="expected a label without spaces"):
        train({"h q": corpora["hq"], "lq": corpora["lq"]})
    with pytest.raises(UserError, match=r"corpora\.hq: 3 documents to train on and 0 held out"):
        train(corpora, max_documents=3, heldout_fraction=1e-9)
    with pytest.raises(UserError, match="none"):
        train({**corpora, "none": tmp_path / "none"})


def test_where_memory_cannot_be_cleared_it_is_said(corpora, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(classifier.ctypes, "CDLL", lambda name: object())
    settings = {"hash_buckets": 1000, "dimension": 8, "heldout_fraction": 0.2}
    train_classifier(corpora, tmp_path / "q.bin", tmp_path, threads=11, **settings)
    assert not capsys.readouterr().err
    with classifier._memory_starts_at_zero(10):
        pass
    assert "two trainings may differ; threads=11 or more" in capsys.readouterr().err
