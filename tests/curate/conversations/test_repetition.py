"""Sentences and paragraphs ten times, phrases fifty times; less of them stays."""

import random

import numpy as np
import pytest

from olmoflow.curate.conversations.repetition import most_frequent
from olmoflow.curate.pipeline.plan import build_step
from olmoflow.errors import UserError

STEP = "repeated_passage_filter"
SENTENCE = "I have to look at that again. "


def filler(number):
    return f"Number {number} is not like any before it, and {number**3} is no other. "


def phrases(count):
    return " ".join(f"word{n} so on and so forth {n}" for n in range(count))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("".join(SENTENCE + filler(n) for n in range(9)), None),
        ("".join(SENTENCE + filler(n) for n in range(10)), "a sentence 10 times or more"),
        ("\n".join(["- I have to look at that"] * 10), "a sentence 10 times or more"),
        (f"{SENTENCE}\nThen on to\n\n" * 10, "a paragraph 10 times or more"),
        ("Wait. " * 30, None),
        (phrases(49), None),
        (phrases(50), "a phrase 50 times or more"),
        ("我们需要再看一次。" * 10, "a sentence 10 times or more"),
        ("", None),
    ],
)
def test_what_stands_too_often(judged, turns, text, reason):
    assert judged(STEP, turns("q", f"Well:\n\n{text}")) == [reason]


def test_limits_are_arguments(judged, turns):
    rows = turns("q", SENTENCE * 3), turns(SENTENCE * 3, "a")
    assert judged(STEP, *rows, sentences=3) == ["a sentence 3 times or more", None]
    assert judged(STEP, *rows, sentences=3, min_words=9) == [None, None]
    assert judged(STEP, *rows, phrases=3, turns="user") == [None, "a phrase 3 times or more"]
    with pytest.raises(UserError, match=r"repeated_passage_filter.phrases=1: expected 2 or more"):
        build_step(STEP, {"phrases": 1})


def test_runs_are_counted_as_one_would_by_hand():
    rng = random.Random(0)
    texts = [[rng.randrange(3) for _ in range(rng.randrange(40))] for _ in range(50)]
    words = np.array([w for text in texts for w in text], np.uint64)
    offsets = np.cumsum([0, *map(len, texts)])
    for size in (1, 2, 4):
        runs = [[tuple(t[i : i + size]) for i in range(len(t) - size + 1)] for t in texts]
        expected = [max(map(r.count, r), default=0) for r in runs]
        assert most_frequent(words, offsets, size).tolist() == expected
