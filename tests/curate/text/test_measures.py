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
    "...\r\n- a. . .\r\n\r\n\r\n* b…\r",
    "\n\n\na\n\n\n \n\nb\nc\n\n",
    'don\'t x_y __ 3.14,5 \x01a\x7f "q"! (z)?',
    "a\u202fb\xa0c \u0301d . \u0301 3.1 no. e\u0301.",
    "#\ufe0f\u20e3 .\u0903 ʹ˥ \u3000日本 ¡No! 👨\u200d👩\u200d👧 ١٢ ²",
    "a\vb \v\x0c\x1cc",
    'The\xa0THE to\u2003Be be. "that',
]
BOUNDARY = regex.compile(r"\b", flags=regex.V1 | regex.WORD)
MIXED = "aTthHeE .#…*-●•1é\n\r日_'\u0301\u202f\xa0\v!"
STOPS = ("the", "be", "to", "of", "and", "that", "have", "with")


def count(pattern, text):
    return len(regex.findall(pattern, text))


def reference(text):
    segments = [s for s in BOUNDARY.split(text) if s]
    words = [s for s in segments if regex.search(r"[\p{Alphabetic}\p{N}]", s)]
    pieces = regex.findall(r"\P{White_Space}+", text)
    lines = text.split("\n")
    stops = [p.lower() for p in pieces if p.lower() in STOPS]
    rust = [line.removesuffix("\r") for line in lines[:-1]] + [x for x in lines[-1:] if x]
    visible = [s for s in segments if regex.search(r"\P{White_Space}", s)]
    runs, punctuation = count("[A-Za-z0-9]+", text), count(r"[!-/:-@\[-`{-~]", text)
    return {
        measures.CHARACTERS: len(text),
        measures.ALPHANUMERICS: count(r"[\p{Alphabetic}\p{N}]", text),
        measures.WORDS: len(words),
        measures.PAGE_WORDS: runs if text.isascii() else len(words),
        measures.SEGMENTS: runs + punctuation if text.isascii() else len(visible),
        measures.PIECES: len(pieces),
        measures.PIECE_BYTES: sum(len(piece.encode()) for piece in pieces),
        measures.ALPHABETIC_PIECES: sum(bool(regex.search(r"\p{Alphabetic}", p)) for p in pieces),
        measures.STOPS: len(stops),
        measures.STOP_KINDS: sum(1 << STOPS.index(word) for word in set(stops)),
        measures.SYMBOLS: sum(map(text.count, ("#", "...", ". . .", "…"))),
        measures.SPACED_DOTS: text.count(". . ."),
        measures.MARKS: sum(map(text.count, ".!?")),
        measures.NEWLINES: text.count("\n"),
        measures.LINES: len(rust),
        measures.FILLED_LINES: len(list(filter(None, rust))),
        measures.BULLET_LINES: sum(line.startswith(("●", "•", "*", "-")) for line in lines),
        measures.ELLIPSIS_LINES: sum(line.endswith(("...", ". . .", "…")) for line in rust),
        measures.PARAGRAPHS: sum(
            bool(regex.search(r"\P{White_Space}", p)) for p in text.split("\n\n")
        ),
    }


@pytest.mark.parametrize("text", TEXTS)
def test_spaced_dots_may_be_taken_for_one_word(text):
    row = reference(text)
    replaced = regex.findall(r"\P{White_Space}+", text.replace(". . .", "..."))
    assert row[measures.PIECES] - 2 * row[measures.SPACED_DOTS] == len(replaced)


def column_of(texts):
    return pa.chunked_array([pa.array(texts, pa.large_string())])


@pytest.mark.parametrize("text", TEXTS)
def test_measures_of_planted_texts(text):
    # Between two others, so that nothing leaks over a text's ends.
    row = measures_of(column_of(["a...", text, "* b"]))[1]
    assert dict(enumerate(row.tolist())) == reference(text)


@settings(max_examples=400)
@given(st.lists(st.text("abTo19 .#*-\n\r_',!?:\v\x01", max_size=30), min_size=1, max_size=4))
def test_measures_of_ascii_are_those_of_plain_python(texts):
    rows = measures_of(column_of(texts)).tolist()
    assert [dict(enumerate(row)) for row in rows] == [reference(text) for text in texts]


@settings(max_examples=400)
@given(
    st.lists(
        st.text("aTthHeE .#…*-●•1é\n\r日_'\u0301\u202f\xa0\v!", max_size=30), min_size=1, max_size=4
    )
)
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
