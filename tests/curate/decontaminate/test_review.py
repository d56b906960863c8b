"""Reports summed up by evaluation set."""

import json

import pytest

from olmoflow.curate.decontaminate.review import read_report, review
from olmoflow.errors import UserError


def match(key, line, question, score, length=30):
    return {
        "training_file": "f",
        "training_line": line,
        "eval_key": key,
        "eval_instance_index": question,
        "contamination_score": score,
        "cluster_token_length": length,
    }


MATCHES = [
    match("a", 1, 0, 0.85),
    match("a", 2, 0, 0.95),
    match("a", 2, 1, 1.0, 40),
    match("a", 3, 2, 1.0, 50),
    match("b", 1, 0, 0.8),
]


def test_sets_are_summed_up_with_their_best_examples():
    first, second = review(MATCHES, examples=2)
    assert (first.key, first.matches, first.documents, first.questions) == ("a", 4, 3, 3)
    assert first.mean_score == pytest.approx((0.85 + 0.95 + 2) / 4)
    assert first.scores == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2]
    assert first.perfect == 2
    assert first.top == [MATCHES[3], MATCHES[2]]  # of equal scores the longer
    assert (second.key, second.top) == ("b", [MATCHES[4]])


def test_low_scores_can_be_passed_over():
    (only,) = review(MATCHES, min_score=0.9)
    assert (only.key, only.matches, len(only.top)) == ("a", 3, 3)


def test_a_report_is_read_from_its_folder(tmp_path):
    with pytest.raises(UserError, match="expected a report of decontamination"):
        list(read_report(tmp_path))
    (tmp_path / "00000.jsonl").write_text("".join(json.dumps(m) + "\n" for m in MATCHES))
    assert list(read_report(tmp_path)) == MATCHES
    (tmp_path / "00001.jsonl").write_text('{"eval_key": "a"}\n')
    with pytest.raises(UserError, match=r"00001\.jsonl:1: .*expected a match"):
        list(read_report(tmp_path))
