"""MADLAD-400's rules, a planted sentence for each."""

import gzip

import fasttext
import pytest

from olmoflow.curate.operations.registry import build_operation
from olmoflow.errors import UserError

GOOD = "This is an ordinary sentence about nothing much. "
LISTED = "Home News Sports Weather Travel Books Music Film Art Food Shop About. "
TECHNICAL = "0123456789 {a: (1/2)} >> 99 ok. "
CURSED = "Please enable JavaScript to see this page. "


@pytest.fixture
def patterns(tmp_path):
    with gzip.open(tmp_path / "cursed.txt.gz", "wt") as file:
        file.write("(?i)enable javascript\n\n^©\n")
    return str(tmp_path / "cursed.txt.gz")


def annotate(outcome, texts, **settings):
    return outcome("madlad400_sentence_annotator", texts, **settings).documents


def test_the_sentences_that_break_a_rule_are_noted(outcome, patterns):
    text = GOOD + LISTED + "Tiny.\n" + TECHNICAL + CURSED + "Long " + "words " * 100
    texts = [text, GOOD * 5, ""]
    settings = {"rules_to_include": [2, 3, 4, 5], "cursed_regex_file": patterns}
    after = annotate(outcome, texts, **settings)
    assert after.column("metadata.madlad.num_sentences").to_pylist() == [6, 5, 0]
    expected = {2: [1], 3: [2, 5], 4: [3], 5: [4]}
    for rule, sentences in expected.items():
        noted = after.column(f"metadata.madlad.rule.{rule}").to_pylist()
        assert noted == [sentences, [], []], rule
    assert after.column("metadata.madlad_status").to_pylist() == [
        *("questionable", "good", "too_short")
    ]


def test_texts_are_judged_by_what_was_noted(outcome, patterns):
    texts = [GOOD * 8 + CURSED * 2, GOOD * 7 + CURSED + LISTED * 2, GOOD * 4, GOOD * 5]
    settings = {"rules_to_include": [2, 5], "cursed_regex_file": patterns}
    after = annotate(outcome, texts, **settings)

    def keep(**settings):
        return outcome("madlad400_rule_filter", after, **settings).keep.tolist()

    assert keep() == [True, True, True, True]
    assert keep(remove_too_short=True) == [True, True, False, True]
    # 2 of 10 sentences are just not too many; 1 of one rule and 2 of another are.
    assert keep(rules_to_remove=[2, 5]) == [True, False, True, True]
    assert keep(rules_to_remove=[5]) == [True, True, True, True]
    assert keep(rules_to_remove=[5], threshold=0.1) == [False, True, True, True]


def test_what_was_not_noted_is_an_error_of_the_document(outcome, documents, patterns):
    after = annotate(outcome, [GOOD * 6], rules_to_include=[2])
    result = outcome("madlad400_rule_filter", after, rules_to_remove=[5])
    assert result.errors == {0: "metadata.madlad: rules [5] not noted"}


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
        build_operation("madlad400_sentence_annotator", settings)
