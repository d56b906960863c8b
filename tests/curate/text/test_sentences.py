"""Texts are cut at full stops as a regular expression of Python does it."""

from itertools import pairwise

import pyarrow as pa
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.curate.strings import array_of, strings_of
from olmoflow.curate.text.sentences import count_in_sentences, split_sentences

# Apart from full stops and white space: technical, uppercase, and none of both.
TEXTS = st.lists(st.text(".!? \n\u2003aB9/É日", max_size=20), min_size=1, max_size=4)


@settings(max_examples=300)
@given(TEXTS)
def test_sentences_are_those_of_a_regular_expression(texts):
    found = split_sentences(strings_of(pa.array(texts, pa.large_string())))
    expected = [[s for s in regex.split(r"[.!?]+\s+", text) if s.strip()] for text in texts]
    listed = array_of(found.strings).to_pylist()
    first = found.first.tolist()
    assert [listed[a:b] for a, b in pairwise(first)] == expected
    for sentence, counted in zip(listed, count_in_sentences(found.strings), strict=True):
        words = [w for w in regex.split(r"(?w)\b", sentence) if regex.search(r"[\p{L}\p{N}]", w)]
        technical = sum(c in "0123456789{}+/()>" for c in sentence)
        assert counted.tolist() == [technical, len(words), sum(w[0].isupper() for w in words)]
