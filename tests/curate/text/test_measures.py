"""Measures are what plain Python counts."""

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.curate.text import measures
from olmoflow.curate.text.measures import keep_rows, measures_of

TEXTS = [
    "",
    "   \n\n\t\n",
    "The end ... of the\nline. . . and … more#tags ......\n\n* one\n - two\n● three…\n•\nlast...",
    "Have you been WITH us?\r\n\r\nTo be, or not to be.\n\n\n12 345 3.14 a1\n  \nü ß 日本語",
    ". . . . . . .\n...\n#",
]
BOUNDARY = regex.compile(r"\b", flags=regex.V1 | regex.WORD)
STOPS = ("the", "be", "to", "of", "and", "that", "have", "with")


def reference(text):
    segments = [s for s in BOUNDARY.split(text) if s]
    words = [s for s in segments if regex.search(r"[\p{Alphabetic}\p{N}]", s)]
    lines = [line.strip() for line in text.split("\n")]
    stops = [w.lower() for w in words if w.lower() in STOPS]
    filled = [line for line in lines if line]
    return {
        measures.CHARACTERS: len(text),
        measures.WORDS: len(words),
        measures.WORD_CHARACTERS: sum(map(len, words)),
        measures.ALPHABETIC_WORDS: sum(bool(regex.search(r"\p{Alphabetic}", w)) for w in words),
        measures.SEGMENTS: sum(not s.isspace() for s in segments),
        measures.SYMBOLS: sum(map(text.count, ("#", "...", ". . .", "…"))),
        measures.STOPS: len(stops),
        measures.STOP_KINDS: sum(1 << STOPS.index(word) for word in set(stops)),
        measures.LINES: len(filled),
        measures.BULLET_LINES: sum(line.startswith(("●", "•", "*", "-")) for line in filled),
        measures.ELLIPSIS_LINES: sum(line.endswith(("...", ". . .", "…")) for line in filled),
        measures.PARAGRAPHS: sum(
            bool(line) and (i == 0 or not lines[i - 1]) for i, line in enumerate(lines)
        ),
    }


def column_of(texts):
    return pa.chunked_array([pa.array(texts, pa.large_string())])


@pytest.mark.parametrize("text", TEXTS)
def test_measures_of_planted_texts(text):
    # Between two others, so that nothing leaks over a text's ends.
    row = measures_of(column_of(["a...", text, "* b"]))[1]
    assert dict(enumerate(row.tolist())) == reference(text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.text("aTthHeE .#…*-●•1é\n\r日_'", max_size=30), min_size=1, max_size=4))
def test_measures_are_those_of_plain_python(texts):
    rows = measures_of(column_of(texts)).tolist()
    assert [dict(enumerate(row)) for row in rows] == [reference(text) for text in texts]


def test_a_null_is_an_empty_text():
    assert not measures_of(column_of([None])).any()


def test_measures_are_made_once_and_follow_the_rows_that_stay(monkeypatch):
    table = pa.table({"id": pa.array([1, 2, 3]), "text": column_of(["one", "one two", "a b c"])})
    assert measures_of(table.column("text"))[:, measures.WORDS].tolist() == [1, 2, 3]

    def not_again(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr(measures, "measure_strings", not_again)
    kept = keep_rows(table, np.array([True, False, True]))
    assert kept.column("id").to_pylist() == [1, 3]
    assert measures_of(kept.column("text"))[:, measures.WORDS].tolist() == [1, 3]
    # Another text at other places is measured.
    with pytest.raises(AssertionError, match="measured again"):
        measures_of(column_of(["one", "a b c"]))
