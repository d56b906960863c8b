"""What modifiers leave of a text's lines, beside plain Python that does it line by line."""

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.curate.operations.lines import SOCIAL_COUNTER
from olmoflow.curate.operations.patterns import unicode_classes

TEXT = "First line\n\nSHOUTING Line\n12,345\n7 likes\nlast"
ANY_LINES = st.lists(st.text("aB1É٣ .\n\r\t\u2003日", max_size=16), min_size=1, max_size=3)


def test_newlines_are_bounded(changed, outcome):
    texts = ["a\n\n\n\nb\n", "a\n\nb"]
    assert changed("newline_removal_modifier", texts) == ["a\n\nb\n", "a\n\nb"]
    assert changed("newline_removal_modifier", texts, max_consecutive=1) == ["a\nb\n", "a\nb"]


def test_lines_of_uppercase_or_digits_go(changed):
    bounds = {"check": "uppercase", "upper_bound": 0.5}
    # "ÄÖÜ" is 3 letters in 6 bytes.
    assert changed("ratio_line_modifier", [TEXT, "ÄÖÜ\nÄÖÜA\nÄöü"], **bounds) == [
        TEXT.replace("SHOUTING Line\n", ""),
        "ÄÖÜ\nÄöü",
    ]
    bounds = {"check": "numeric", "upper_bound": 0.8}
    # Digits are those of ASCII.
    assert changed("ratio_line_modifier", [TEXT, "٣٤\n", "99"], **bounds) == [
        TEXT.replace("12,345\n", ""),
        "٣٤\n",
        "",
    ]


@settings(max_examples=150)
@given(ANY_LINES, st.sampled_from([0.0, 0.2, 1 / 3, 0.5, 0.999999]))
def test_shares_are_of_bytes_in_single_precision(left, texts, bound):
    for check, has in (("uppercase", str.isupper), ("numeric", "0123456789".__contains__)):

        def stays(line, has=has):
            share = np.float32(sum(map(has, line))) / np.float32(max(len(line.encode()), 1))
            return share <= np.float32(bound)

        expected = ["\n".join(filter(stays, text.split("\n"))) for text in texts]
        operation = {"check": check, "upper_bound": bound}
        assert left("ratio_line_modifier", texts, **operation) == expected


def test_lines_of_few_words_go_but_empty_ones_stay(left):
    expected = "First line\n\nSHOUTING Line\n7 likes"
    texts = [TEXT, "one", "", "\n\n", "one\n\n", "a b\n \nc d\r\n"]
    assert left("line_len_modifier", texts, lower_bound=2) == [
        *(expected, None, None, None, None, "a b\nc d\r\n")
    ]
    assert left("line_len_modifier", [TEXT, " ", "", "\n"]) == [TEXT, " ", None, None]


def test_counts_of_likes_go_in_any_case_and_other_lines_stay(left):
    lines = ["  1,234 views", "* 3.5K Followers *", "12 downloads today", "5 comments", "12 LIKES!"]
    texts = ["\n".join(lines), "none", None, "5 likes", "5 likes\n", "ü 5 likes", "٥ likes"]
    assert left("regex_line_modifier", texts) == [
        *("12 downloads today", "none", None, None, "", "ü 5 likes", None)
    ]


@settings(max_examples=100)
@given(
    st.lists(st.text("7K likesVü\n\r.\u2003", max_size=16), min_size=1, max_size=3),
    st.sampled_from([SOCIAL_COUNTER, r"^k\s", r"[\w.]s", r"^\W*$", r"[^a-z]7", "K", r"\A7\S+\z"]),
)
def test_patterns_see_lines_in_lower_case(left, texts, pattern):
    python = regex.compile(pattern.replace("$", r"\Z").replace(r"\z", r"\Z"))
    expected = []
    for text in texts:
        lines = [line for line in text.split("\n") if not python.search(line.lower())]
        expected.append("\n".join(lines) if lines else None)
    assert left("regex_line_modifier", texts, regex=pattern) == expected


def test_classes_of_characters_are_those_of_unicode():
    assert unicode_classes(r"a\d[\d\-]\\d\D[^]\s]") == (
        r"a[\p{Nd}][\p{Nd}\-]\\d\P{Nd}[^]\t-\r\x{85}\p{Z}]"
    )
    assert unicode_classes(r"[[:alpha:]\W]\Q\d[\E\b") == r"[[:alpha:]\W]\Q\d[\E\b"


@pytest.mark.parametrize("pattern", [r"^\d+$", r"\A\d+\z"])
def test_a_pattern_sees_one_line_at_a_time(left, pattern):
    texts = ["a\n12\nb", "a1\n", "99"]
    assert left("regex_line_modifier", texts, regex=pattern) == ["a\nb", "a1\n", None]
    # \s would reach over a newline.
    assert left("regex_line_modifier", ["a\nb", "a b"], regex=r"a\sb") == ["a\nb", None]


def test_what_matches_is_taken_out_of_lines(changed):
    texts = ["Read more...\nText. read more... now\nRead more...", "none", "3 items in cart\nx"]
    banned = {"banlist": ["[Rr]ead more...", "items in cart"]}
    assert changed("substring_line_modifier", texts, **banned) == ["Text. now", "none", "3 \nx"]
    # Case counts, and a dot is any character.
    assert changed("substring_line_modifier", texts, banlist="Read more...") == [
        *("Text. read more... now", "none", "3 items in cart\nx")
    ]
    banned |= {"remove_substring_only": False}
    assert changed("substring_line_modifier", texts, **banned) == ["", "none", "x"]


def cleaned(text, banned, most, only, location):
    """What datamap-rs makes of a text, line by line."""
    pattern = {"any": rf"\s?(?:{banned})\s?", "prefix": rf"^(?:{banned})\s?"}.get(
        location, rf"\s?(?:{banned})\Z"
    )
    lines = text.split("\n")
    lines = [line.removesuffix("\r") for line in lines[:-1]] + [line for line in lines[-1:] if line]
    kept = []
    for line in lines:
        words = regex.findall(r"(?w)\b\w.*?\b", line)
        if line and not (most is not None and len(words) > most):
            if only:
                line = regex.sub(pattern, " " if location == "any" else "", line)
                if not line.strip():
                    continue
            elif regex.search(pattern, line):
                continue
        kept.append(line)
    return "\n".join(kept)


@settings(max_examples=300)
@given(
    st.lists(st.text("ab B\n\r\u2003é", max_size=14), min_size=1, max_size=3),
    st.sampled_from(["a", "a.", "ab|é", "^b"]),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.sampled_from(["any", "prefix", "suffix"]),
)
def test_lines_are_cleaned_as_in_python(left, texts, banned, most, only, location):
    arguments = {"banlist": banned, "remove_substring_only": only, "location": location}
    if most is not None:
        arguments["max_len"] = most
    expected = [cleaned(text, banned, most, only, location) for text in texts]
    assert left("substring_line_modifier", texts, **arguments) == expected


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("any", "now or never \n or later"),
        ("prefix", "now or never sign in\nor later"),
        ("suffix", "now or never\nsign in or later"),
    ],
)
def test_substrings_may_be_asked_for_at_an_end(changed, location, expected):
    texts = ["now or never sign in\nsign in or later"]
    banned = {"banlist": "sign in", "location": location}
    assert changed("substring_line_modifier", texts, **banned) == [expected]


def test_lines_of_many_words_keep_their_substrings(changed):
    texts = ["one two read more\nread more"]
    banned = {"banlist": "read more", "max_len": 3}
    assert changed("substring_line_modifier", texts, **banned) == ["one two read more"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("newline_removal_modifier", {}),
        ("ratio_line_modifier", {"check": "uppercase", "upper_bound": 1.0}),
        ("regex_line_modifier", {}),
        ("line_len_modifier", {}),
        ("substring_line_modifier", {"banlist": "absent"}),
    ],
)
def test_a_batch_from_which_nothing_goes_is_the_same_memory(outcome, documents, name, settings):
    table = documents([f"{TEXT[:20]} number {i}" for i in range(3)])
    after = outcome(name, table, **settings).documents
    assert after.column("text").chunk(0).buffers()[2].address == (
        table.column("text").chunk(0).buffers()[2].address
    )
