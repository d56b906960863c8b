"""Sections and parts hold the whole document."""

import re
from random import Random

from olmoflow.curate.long_context.parts import joined, parts, sections


def squeezed(text):
    return re.sub(r"\s+", " ", text).strip()


def test_sections_end_at_blank_lines_and_are_long_enough():
    text = f"{'a' * 30}\n\nb\n \n{'c' * 30}\n\nd"
    assert sections(text, 20) == ["a" * 30, f"b\n\n{'c' * 30}\n\nd"]


def test_lists_stay_with_what_introduces_them():
    text = "A list:\n\nfirst of it\n\n- item\n\n2. item\n\nAnd then"
    assert sections(text, 1) == ["A list:\n\nfirst of it\n\n- item\n\n2. item", "And then"]


def test_parts_are_the_document_cut_within_bounds(documents):
    for text in documents["text"].to_pylist()[:3]:
        cut = parts(text, Random(1))
        assert squeezed("".join(joined(part) + "\n\n" for part in cut)) == squeezed(text)
        lengths = [len(joined(part)) for part in cut[:-1]]
        longest = max(len(section) for part in cut for section in part)
        least, most = min(4 * 4096, len(text) // 4), min(4 * 65536, len(text) // 2)
        assert all(least <= length <= most + longest + 2 * 400 for length in lengths)


def test_a_short_document_has_no_parts(documents):
    assert parts(documents["text"][3].as_py(), Random(1)) == []
