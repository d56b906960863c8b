"""Words are those of UAX #29, as the package `regex` implements it."""

import numpy as np
import pyarrow as pa
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.curate.strings import strings_of
from olmoflow.curate.text.characters import properties
from olmoflow.curate.text.words import WORD, count_words, segment_end

BOUNDARY = regex.compile(r"\b", flags=regex.V1 | regex.WORD)
IS_WORD = regex.compile(r"[\p{Alphabetic}\p{N}]")

# One or more of every class, and of what is around it.
ALPHABET = (
    "ab zZ09_.,:;'\"-#…\r\n\v\u0085\u00a0\u2003\u00e9\u0301\u200d\u00ad\u2019\u2024\u00b7"
    "\u05d0\u05d1\u05f4\u30ab\u30ca\u30fc\u3042\u65e5\u672c\u0e44\u0e17\u0661\u0662\u066b"
    "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f468\U0001f469\U0001f3fd\u2764\ufe0f\u0644\u0627\U00010400"
)


def segments(text):
    data = np.frombuffer(text.encode(), np.uint8)
    found, i = [], 0
    while i < len(data):
        j, flags, characters = segment_end(data, i, len(data), properties())
        segment = bytes(data[i:j]).decode()
        assert characters == len(segment)
        assert bool(flags & WORD) == bool(IS_WORD.search(segment)), segment
        found.append(segment)
        i = j
    return found


def test_segments_of_planted_texts():
    assert segments("Can't stop 3.14, a.b x_y") == [
        *("Can't", " ", "stop", " ", "3.14", ",", " ", "a.b", " ", "x_y"),
    ]
    assert segments("日本カタカナ") == ["日", "本", "カタカナ"]
    assert segments("👨‍👩‍👧🇫🇷🇩🇪") == ["👨‍👩‍👧", "🇫🇷", "🇩🇪"]
    assert segments("") == []


@settings(max_examples=1500)
@given(st.text(st.sampled_from(ALPHABET), max_size=24))
def test_segments_are_those_of_unicode(text):
    assert segments(text) == [s for s in BOUNDARY.split(text) if s]


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_segments_of_any_text_are_those_of_unicode(text):
    assert segments(text) == [s for s in BOUNDARY.split(text) if s]


def test_invalid_utf8_is_read_without_leaving_the_text():
    broken = [b"a\xe2\x80", b"\xf0\x9f", b"\xff\xfe word", b"\xc3", b"ok \xf7\xbf\xbf\xbf\xbf"]
    texts = strings_of(pa.array(broken, pa.large_binary()).view(pa.large_string()))
    assert count_words(texts.data, texts.offsets, properties()).tolist() == [1, 0, 1, 0, 1]
