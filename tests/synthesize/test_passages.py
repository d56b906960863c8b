"""Documents become passages that fit, of which nothing but blank lines is lost."""

import pytest

from olmoflow.documents import Document
from olmoflow.errors import UserError
from olmoflow.synthesize.passages import Cutter, PassageCount, passages_of
from olmoflow.tokens.bpe import train_bpe


def documents(*texts):
    return [Document(f"d{n}", text, "web") for n, text in enumerate(texts)]


def test_what_fits_stays_whole():
    assert Cutter(max_characters=40)("\n  two lines\n  of code\n") == ["  two lines\n  of code"]
    assert Cutter(max_characters=40)(" \n\n ") == []


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("first part. more\n\nsecond part. more", ["first part. more", "second part. more"]),
        ("first part. more\nsecond part. more", ["first part. more", "second part. more"]),
        ("the first part. The second part", ["the first part.", "The second part"]),
        (
            "第一部分在这里说完了。第二部分在这里说完了。",
            ["第一部分在这里说完了。", "第二部分在这里说完了。"],
        ),
        ("one two three four five six", ["one two three", "four five six"]),
        ("0123456789" * 3, ["012345678901234", "567890123456789"]),
    ],
)
def test_the_best_place_near_the_middle_is_taken(text, cut):
    limit = 16 if len(text) < 30 else 20
    assert Cutter(max_characters=limit)(text) == cut


def test_indentation_stays_where_a_program_is_cut():
    body = "\n\n".join(f"    def f{n}(self):\n        return {n}" for n in range(8))
    parts = Cutter(max_characters=120)(f"class A:\n{body}\n")
    assert "\n\n".join(parts) == f"class A:\n{body}"
    assert all(part.startswith("    def") for part in parts[1:])


def test_tokens_are_counted_where_a_tokenizer_is():
    tokenizer = train_bpe(["one two three four five six seven " * 9], 280)
    text = "".join(f"{n} one two three four five six seven.\n\n" for n in range(40))
    parts = Cutter(max_tokens=50, tokenizer=tokenizer)(text)
    lengths = [len(tokenizer.encode(part)) for part in parts]
    assert max(lengths) <= 50
    assert min(lengths) > 12  # no scraps
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert Cutter(50, 60, tokenizer)(text) != parts


def test_short_and_equal_passages_are_counted():
    count = PassageCount()
    read = documents("a" * 30, "b" * 30, "tiny", "a" * 30)
    found = list(passages_of(read, Cutter(max_characters=100), 10, count))
    assert [passage.document.id for passage in found] == ["d0", "d1"]
    assert (count.documents, count.short, count.duplicates, count.passages) == (4, 1, 1, 2)


@pytest.mark.parametrize("limits", [{}, {"max_tokens": 3}, {"max_characters": 1.5}])
def test_limits_without_a_meaning_are_refused(limits):
    with pytest.raises(UserError, match=r"pipeline\.passages\.max_"):
        Cutter(**limits)
