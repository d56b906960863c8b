"""MADLAD-400's rules, a planted sentence for each."""

import gzip

import fasttext
import pytest

from olmoflow.curate.pipeline.plan import build_step
from olmoflow.errors import UserError

GOOD = "This is an ordinary sentence about nothing much. "
LISTED = "Home News Sports Weather Travel Books Music Film Art Food Shop About. "
TECHNICAL = "0123456789 {a: (1/2)} >> 99 ok. "
CURSED = "Please enable JavaScript to see this page. "


@pytest.fixture
def patterns(tmp_path):
    """Strings, then four regular expressions."""
    with gzip.open(tmp_path / "cursed.txt.gz", "wt") as file:
        file.write("JavaScript to see\nC++ (a.b)\n\n")
        file.write("(?i)enable flash\n^©\nthis site has \\d+ users$\nz{9}\n")
    return str(tmp_path / "cursed.txt.gz")


def annotate(outcome, texts, **settings):
    return outcome("madlad400_sentence_annotator", texts, **settings).documents


def test_the_sentences_that_break_a_rule_are_noted(outcome, patterns):
    text = GOOD + LISTED + "Tiny.\n" + TECHNICAL + CURSED + "Long " + "words " * 100
    texts = [text, GOOD * 5, "", None]
    settings = {"rules_to_include": [2, 3, 4, 5], "cursed_regex_file": patterns}
    after = annotate(outcome, texts, **settings)
    assert after.column("metadata.madlad.num_sentences").to_pylist() == [6, 5, None, None]
    expected = {2: [1], 3: [2, 5], 4: [3], 5: [4]}
    for rule, sentences in expected.items():
        noted = after.column(f"metadata.madlad.rule.{rule}").to_pylist()
        assert noted == [sentences, [], None, None], rule
    assert after.column("metadata.madlad_status").to_pylist() == [
        *("killed:too_many_sus_sentences", "survived", "killed:too_short", "killed:too_short")
    ]


def test_lengths_and_shares_are_of_bytes(outcome):
    settings = {"rules_to_include": [3, 4], "sentence_lower_bound": 1, "annotation_key": "m"}
    # 18 and 20 bytes; 500 and 502; 4 and 5 digits to 20 bytes.
    texts = ["ééééééééé. éééééééééé", "é" * 250 + "! " + "é" * 251, "é" * 8 + "1234? " + "é" * 7]
    texts[2] += "123456"
    after = annotate(outcome, texts, **settings)
    assert after.column("m.rule.3").to_pylist() == [[0], [1], []]
    assert after.column("m.rule.4").to_pylist() == [[], [], [1]]
    assert after.column("m_status").to_pylist() == ["killed:too_many_sus_sentences"] * 3


@pytest.mark.parametrize(
    ("sentence", "cursed"),
    [
        ("Please enable JavaScript to see this", True),
        ("Please enable javascript to see this", False),  # a string, as it must stand
        ("Written in C++ (a.b)", True),
        ("Written in C++ (axb)", False),
        ("Enable FLASH", True),
        ("This site has ten users", False),
        ("Now this site has 10 users", True),
        ("Copyright ©", False),
    ],
)
def test_cursed_are_strings_and_four_patterns(outcome, patterns, sentence, cursed):
    settings = {"rules_to_include": [5], "cursed_regex_file": patterns}
    after = annotate(outcome, [sentence + ". x. x. x. x. "], **settings)
    assert after.column("metadata.madlad.rule.5").to_pylist() == [[0] if cursed else []]


def test_texts_are_judged_by_what_was_noted(outcome, documents, patterns):
    texts = [GOOD * 8 + CURSED * 2, GOOD * 9 + CURSED + LISTED * 2, GOOD * 4, GOOD * 5]
    settings = {"rules_to_include": [2, 5], "cursed_regex_file": patterns}
    after = annotate(outcome, texts, **settings)
    written = {"num_sentences": [12], "rule.2": [10, 11], "rule.5": [9]}
    metadata = [{"madlad": written, "madlad_status": "survived"}] * 2
    metadata[1] = {"madlad": {"num_sentences": 5, "rule": {"2": [0]}}, "madlad_status": "x"}

    def keep(table=after, **settings):
        return outcome("madlad400_rule_filter", table, **settings).keep.tolist()

    assert keep() == [True, True, True, True]
    assert keep(remove_too_short=True) == [True, True, False, True]
    # 2 of 10 sentences are too many, 2 of 12 are not; 3 of 12, of two rules together, are.
    assert keep(rules_to_remove=[[2, 5]]) == [False, False, True, True]
    assert keep(rules_to_remove=[[2], [5]]) == [False, True, True, True]
    assert keep(rules_to_remove=[[5]], threshold=0.21) == [True, True, True, True]
    # What a file says, written here or by datamap-rs.
    table = documents(["", ""], metadata=metadata)
    assert keep(table, rules_to_remove=[[2], [5]]) == [True, False]
    assert keep(table, rules_to_remove=[[2, 5]]) == [False, False]


def test_what_was_not_noted_is_an_error_of_the_document(outcome, documents, patterns):
    after = annotate(outcome, [GOOD * 6, GOOD], rules_to_include=[2])
    result = outcome("madlad400_rule_filter", after, rules_to_remove=[[5]])
    assert result.errors == {0: "metadata.madlad: rules [[5]] not noted"}


def test_sentences_in_another_language_break_the_first_rule(outcome, documents, tmp_path):
    lines = [f"__label__en {GOOD.strip()}\n", "__label__de Das ist ein ganz normaler Satz.\n"] * 200
    (tmp_path / "train.txt").write_text("".join(lines))
    # With fewer threads fastText leaves a part of the weights without a first value.
    model = fasttext.train_supervised(
        str(tmp_path / "train.txt"), epoch=20, dim=8, bucket=1000, thread=12, verbose=0
    )
    model.save_model(str(tmp_path / "model.bin"))
    text = GOOD * 3 + "Das ist ein ganz normaler Satz. " + GOOD
    settings = {"rules_to_include": [1], "fast_text_file": str(tmp_path / "model.bin")}
    table = documents([text, text], metadata=[{"lang": "__label__en"}, {"lang": "__label__de"}])
    after = annotate(outcome, table, langid_field="metadata.lang", **settings)
    assert after.column("metadata.madlad.rule.1").to_pylist() == [[3], [0, 1, 2, 4]]
    # The language may also be that of the highest score.
    scores = outcome(
        "fasttext_annotator",
        [text],
        fast_text_file=str(tmp_path / "model.bin"),
        output_field="metadata.lang",
    ).documents
    after = annotate(outcome, scores, langid_field="metadata.lang", **settings)
    assert after.column("metadata.madlad.rule.1").to_pylist() == [[3]]


def test_a_pattern_that_is_none_is_refused(tmp_path):
    (tmp_path / "bad.txt").write_text("fine\n(open\n")
    settings = {"rules_to_include": [5], "cursed_regex_file": str(tmp_path / "bad.txt")}
    with pytest.raises(UserError, match=r"cursed_regex_file='\(open'"):
        build_step("madlad400_sentence_annotator", settings)
