"""Texts are cut into lines and sentences, and joined, as plain Python does it."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.curate.strings import array_of, strings_of
from olmoflow.curate.text.characters import DIGIT, UPPERCASE, properties
from olmoflow.curate.text.lines import (
    collapse_newlines,
    drop_lines,
    has_full_line,
    has_untidy_lines,
    join_lines,
    lines_by_share,
    lines_by_words,
    most_newlines,
    split_lines,
)
from olmoflow.curate.text.words import count_words

TEXTS = st.lists(st.text("ab\n é", max_size=12), min_size=1, max_size=5)


def strings(texts):
    return strings_of(pa.array(texts, pa.large_string()))


@settings(max_examples=200)
@given(TEXTS, st.data())
def test_lines_that_stay_are_joined_as_in_python(texts, data):
    lines = split_lines(strings(texts))
    expected = [text.split("\n") for text in texts]
    assert array_of(lines.strings).to_pylist() == [line for text in expected for line in text]
    marks = [[data.draw(st.booleans()) for _ in text] for text in expected]
    keep = pa.array([m for marked in marks for m in marked]).to_numpy(zero_copy_only=False)
    wanted = [
        "\n".join(line for line, m in zip(text, marked, strict=True) if m)
        for text, marked in zip(expected, marks, strict=True)
    ]
    assert array_of(join_lines(lines, keep)).to_pylist() == wanted
    assert array_of(drop_lines(strings(texts), keep)).to_pylist() == wanted


@settings(max_examples=200)
@given(st.lists(st.text("aB1É٣ .\n\r日", max_size=20), min_size=1, max_size=4))
def test_lines_are_chosen_as_in_python(texts):
    lines = [line for text in texts for line in text.split("\n")]
    for flag, has in ((UPPERCASE, str.isupper), (DIGIT, "0123456789".__contains__)):
        expected = [sum(map(has, line)) <= 0.5 * len(line.encode()) for line in lines]
        assert lines_by_share(strings(texts), flag, 0.5).tolist() == expected
    words = count_words(*split_lines(strings(texts)).strings, properties())
    for fewest in (0, 1, 2):
        expected = [n >= fewest or not line for n, line in zip(words, lines, strict=True)]
        assert lines_by_words(strings(texts), fewest).tolist() == expected
    assert has_full_line(*strings(texts)).tolist() == [bool(t.strip("\n")) for t in texts]


@settings(max_examples=200)
@given(st.lists(st.text("a \n\r\u2003é", max_size=8), min_size=1, max_size=4))
def test_lines_that_would_be_tidied_are_seen(texts):
    untidy = []
    for text in texts:
        lines = text.split("\n")
        blank = any(line and not line.strip() for line in lines)
        untidy.append(blank or "\r\n" in text or text.endswith("\n"))
    assert has_untidy_lines(*strings(texts), properties()).tolist() == untidy


@pytest.mark.parametrize("most", [0, 1, 2])
def test_newlines_are_collapsed(most):
    texts = ["a\n\n\n\nb", "\n\n\n", "", "a\nb"]
    runs = most_newlines(*strings(texts))
    assert runs.tolist() == [4, 3, 0, 1]
    assert array_of(collapse_newlines(strings(texts), most)).to_pylist() == [
        *("a" + "\n" * most + "b", "\n" * most, "", "a" + "\n" * min(most, 1) + "b")
    ]
