"""Escaped texts are what Python's json makes of them."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pytest

from olmoflow.curate.strings import strings_of
from olmoflow.curate.text.json_strings import escaped

TEXTS = [
    "",
    "plain",
    'a "quoted"\\ path\n\r\t\b\f',
    "".join(map(chr, range(0x20))),
    "\x7f\x80\u2028\u2029é漢字😀",
    "",
]


def inside(texts):
    data, offsets = escaped(texts)
    return [bytes(data[a:b]).decode() for a, b in itertools.pairwise(offsets)]


@pytest.mark.parametrize("start", [0, 2])
def test_as_json_writes_them(start):
    column = pa.array(TEXTS, pa.large_string())[start:]
    expected = [json.dumps(text, ensure_ascii=False)[1:-1] for text in TEXTS[start:]]
    assert inside(strings_of(column)) == expected


def test_of_none():
    data, offsets = escaped(strings_of(pa.array([], pa.large_string())))
    assert len(data) == 0
    assert np.array_equal(offsets, [0])
