"""What modifiers leave of a text's lines."""

import pytest

TEXT = "First line\n\nSHOUTING Line\n12,345\n7 likes\nlast"


def test_newlines_are_bounded(changed, outcome):
    texts = ["a\n\n\n\nb\n", "a\n\nb"]
    assert changed("newline_removal_modifier", texts) == ["a\n\nb\n", "a\n\nb"]
    assert changed("newline_removal_modifier", texts, max_consecutive=1) == ["a\nb\n", "a\nb"]


def test_lines_of_uppercase_or_numbers_go(changed):
    settings = {"check": "uppercase", "upper_bound": 0.5}
    assert changed("ratio_line_modifier", [TEXT, "ÄÖÜ\nÄöü"], **settings) == [
        TEXT.replace("SHOUTING Line\n", ""),
        "Äöü",
    ]
    settings = {"check": "numeric", "upper_bound": 0.8}
    assert changed("ratio_line_modifier", [TEXT, "٣٤\n"], **settings) == [
        TEXT.replace("12,345\n", ""),
        "",
    ]


def test_lines_of_few_words_go_and_blank_ones_have_none(changed):
    expected = "First line\nSHOUTING Line\n7 likes"
    assert changed("line_len_modifier", [TEXT, "one", ""], lower_bound=2) == [expected, "", ""]
    assert changed("line_len_modifier", [TEXT]) == [TEXT]


def test_counts_of_likes_go_and_other_lines_stay(changed):
    lines = ["  1,234 views", "* 3.5K Followers *", "12 downloads today", "5 comments", "12 likes!"]
    assert changed("regex_line_modifier", ["\n".join(lines), "none", None]) == [
        "* 3.5K Followers *\n12 downloads today",
        "none",
        None,
    ]


@pytest.mark.parametrize("pattern", [r"^\d+$", r"\A\d+\z"])
def test_a_pattern_sees_one_line_at_a_time(changed, pattern):
    texts = ["a\n12\nb", "a1\n", "99"]
    assert changed("regex_line_modifier", texts, regex=pattern) == ["a\nb", "a1\n", ""]
    # \s would reach over a newline.
    assert changed("regex_line_modifier", ["a\nb", "a b"], regex=r"a\sb") == ["a\nb", ""]


def test_substrings_are_taken_out_of_lines(changed):
    texts = ["Read more...\nText. Read More...\nrest", "none", "3 items in cart\nx"]
    settings = {"banlist": ["read more...", "items in cart"]}
    assert changed("substring_line_modifier", texts, **settings) == [
        "Text. \nrest",
        "none",
        "3 \nx",
    ]
    settings |= {"remove_substring_only": False}
    assert changed("substring_line_modifier", texts, **settings) == ["rest", "none", "x"]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("any", "now or never\n or later"),
        ("prefix", "now or never sign in\n or later"),
        ("suffix", "now or never\nSign in or later"),
    ],
)
def test_substrings_may_be_asked_for_at_an_end(changed, location, expected):
    texts = ["now or never sign in\nSign in or later"]
    settings = {"banlist": "sign in", "location": location}
    (text,) = changed("substring_line_modifier", texts, **settings)
    assert [line.rstrip() for line in text.split("\n")] == expected.split("\n")


def test_lines_of_many_words_keep_their_substrings(changed):
    texts = ["one two read more\nread more"]
    settings = {"banlist": "read more", "max_len": 3}
    assert changed("substring_line_modifier", texts, **settings) == ["one two read more"]


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
