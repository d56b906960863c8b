"""Sentences, verbs and languages, without downloads."""

import pytest

from olmoflow.verifiers.instructions import language


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("Dr. Smith met Mr. Jones.", 1),
        ("It costs 3.50 today. Cheap.", 2),
        ("See olmo.org now. Then go.", 2),
        ("Wait... what?", 2),
        ('He said "go." She went.', 2),
        ("By A. B. Smith.", 1),
        ("no mark", 1),
        ("", 0),
    ],
)
def test_sentences_end_where_a_reader_sees_it(text, count):
    assert len(language.sentences(text)) == count


def test_punkt_knows_abbreviations_without_a_download():
    assert language.count_sentences("Dr. Who, e.g. him, left. He ran. It was 5 p.m. then.") == 3


@pytest.mark.parametrize(
    ("word", "verb"),
    [("Write", True), ("creating", True), ("is", True), ("The", False), ("quickly", False)],
)
def test_verbs(word, verb):
    assert language.can_be_verb(word) == verb


def test_the_language_of_a_text_is_always_the_same():
    texts = ["hello", "ok", "no si", "das war"]
    assert len({tuple(map(language.language, texts)) for _ in range(5)}) == 1
