"""Contamination planted in documents, with scores worked out by hand."""

import random
from dataclasses import replace

import pyarrow as pa
import pytest

from olmoflow.curate.decontaminate import kernels
from olmoflow.curate.decontaminate.detect import best, detect, keep_and_reasons
from olmoflow.curate.decontaminate.index import build_index
from olmoflow.curate.decontaminate.references import Reference
from olmoflow.curate.decontaminate.settings import PRESETS, preset
from olmoflow.curate.strings import strings_of
from olmoflow.errors import UserError


def words(name, count):
    """Words that stand nowhere else, so that every n-gram has the same idf."""
    return " ".join(f"{name}{n}" for n in range(count))


def changed(text, *places):
    """The text with other words at some places."""
    return " ".join(f"other{n}" if n in places else w for n, w in enumerate(text.split()))


NOISE = words("before", 40), words("behind", 120)
LONG, QUESTION = words("long", 60), words("asked", 25)
ANSWER, PASSAGE = words("answer", 5), words("passage", 40)
ENTRIES = [
    Reference("only", "only_test", 0, LONG),
    Reference("short", "short_test", 1, words("hard", 60), "forty two"),
    Reference("full", "full_test", 2, QUESTION, ANSWER, PASSAGE),
    Reference("few", "few_test", 3, words("few", 14), words("reply", 10)),
]


def found(text, name="default", references=ENTRIES):
    """(key, score) of what is found in a text between words that matter to nobody."""
    index = build_index(references, PRESETS[name], "words")
    documents = pa.table({"id": ["a"], "text": [f"{NOISE[0]} {text} {NOISE[1]}"]})
    return [
        (m["eval_key"], pytest.approx(m["contamination_score"])) for m in detect(index, documents)
    ]


def test_a_question_word_for_word_scores_1():
    assert found(LONG) == [("only_test", 1)]
    assert found(f"“{LONG.upper().replace(' ', ', ')}!”") == [("only_test", 1)]


@pytest.mark.parametrize(
    ("places", "score"),
    [
        ((30,), 51 / 56),  # a word is in 5 of the 56 n-grams
        ((15, 45), 46 / 56),
        ((15, 30, 45), 41 / 56),
    ],
)
def test_a_reworded_question_passes_by_the_presets_threshold(places, score):
    for name, settings in PRESETS.items():
        passes = score >= settings.contamination_score_threshold
        assert found(changed(LONG, *places), name) == ([("only_test", score)] if passes else [])


def test_a_part_of_a_question_does_not_pass():
    assert found(" ".join(LONG.split()[:45])) == []


def test_a_question_with_an_answer_needs_its_answer():
    hard = words("hard", 60)
    assert found(hard) == []  # 0.75
    assert found(f"{hard} Answer: forty two") == [("short_test", 1)]
    assert found(f"{hard} {words('gap', 48)} forty two") == [("short_test", 1)]
    assert found(f"{hard} {words('gap', 50)} forty two") == []  # the window has 50 tokens
    assert found(f"{hard} two forty") == []
    # 0.75 · 51/56 + 0.25
    assert found(f"{changed(hard, 30)} forty two") == [("short_test", 0.75 * 51 / 56 + 0.25)]


def test_an_answer_or_a_passage_alone_is_no_contamination():
    assert found(f"forty two {ANSWER} {words('reply', 10)}") == []
    assert found(PASSAGE) == []


def test_a_passage_counts_before_its_question():
    # 25 words are 21 n-grams, so the weights are 0.7, 0.2 and 0.1.
    assert found(f"{PASSAGE} {QUESTION} {ANSWER}") == [("full_test", 1)]
    assert found(f"{PASSAGE} {QUESTION}") == [("full_test", 0.8)]
    assert found(QUESTION) == []  # 0.7
    half = " ".join(PASSAGE.split()[20:])  # 17 of its 37 n-grams
    assert found(f"{half} {QUESTION}") == []
    assert found(f"{half} {QUESTION} {ANSWER}") == [("full_test", 0.9 + 0.1 * 17 / 37)]
    assert found(f"{QUESTION} {ANSWER} {PASSAGE}") == [("full_test", 0.9)]
    # Two misses in a passage are borne; a word of another makes four.
    assert found(f"{changed(PASSAGE, 20)} {QUESTION} {ANSWER}") == [
        ("full_test", 0.9 + 0.1 * 16 / 37)
    ]
    # The run over web data did not look at passages: 0.75 and 0.25.
    assert found(f"{PASSAGE} {QUESTION}", "olmo_web") == []
    assert found(f"{QUESTION} {ANSWER}", "olmo_web") == [("full_test", 1)]


def test_a_short_question_leans_on_its_answer_and_has_to_match_better():
    few, reply = words("few", 14), words("reply", 10)
    # 10 n-grams: weights 0.5625 and 0.4375. A word of the answer is in 3 of its 8 n-grams. 24
    # tokens: required is 1 - 0.2 · 4/30.
    assert found(f"{few} {reply}") == [("few_test", 1)]
    assert 0.5625 + 0.4375 * 5 / 8 > 0.8
    assert found(f"{few} {changed(reply, 5)}") == []
    assert found(f"{few} {changed(reply, 5)}", "olmo_synth") == [
        # 2-grams: 7 of 9. Required: 1 - 0.22 · 19/21.
        ("few_test", (0.5625 + 0.4375 * 7 / 9) * 0.78 / (1 - 0.22 * 19 / 21))
    ]


def test_frequent_ngrams_start_no_search_but_lead_to_those_that_do():
    many = [
        Reference("many", "many", n, f"which of the following is {words(f'r{n}w', 20)}")
        for n in range(2001)
    ]
    index = build_index(many, preset("default"), "words")
    assert index.questions.hot.sum() == 1
    text = f"{many[1234].question} {NOISE[1]}"  # the first sample meets the frequent n-gram
    (match,) = detect(index, pa.table({"id": ["a"], "text": [text]}))
    assert (match["eval_instance_index"], match["contamination_score"]) == (1234, 1)


def test_choices_of_a_question_are_one_match_with_the_best_of_them():
    asked = words("choose", 30)
    choices = [
        Reference("mc", "mc_test", 4, asked, choice, is_correct=choice.startswith("tall"))
        for choice in ("small red house", "tall old tower", "wide green river")
    ]
    index = build_index([*choices, *ENTRIES], preset("default"), "words")
    text = f"{NOISE[0]} {asked} The tall old tower. {NOISE[1]}"
    (match,) = detect(index, pa.table({"id": ["a"], "text": [text]}))
    assert match["eval_answer_text"] == "tall old tower"
    assert match["is_correct"] is True


def test_the_report_has_decons_keys():
    index = build_index(ENTRIES, preset("default"), "words")
    clean = " ".join(NOISE)
    text = f"{NOISE[0]} {PASSAGE} {QUESTION} Yes, {ANSWER}. {NOISE[1]}"
    documents = pa.table({"id": ["x", "y"], "text": [clean, text]})
    (match,) = detect(index, documents, "00000.parquet", 100)
    assert match == {
        "training_file": "00000.parquet",
        "training_line": 101,
        "training_id": "y",
        "eval_dataset": "full",
        "eval_key": "full_test",
        "eval_line": 0,
        "eval_instance_index": 2,
        "ngram_match_cnt": 21,
        "eval_unique_ngrams": 21,
        "contamination_score": 1.0,
        # From 1 at 20 tokens to (0.8 - 0.3) / 0.7 at 50.
        "length_adjusted_question_threshold": pytest.approx(1 - (1 - 0.5 / 0.7) * 5 / 30),
        "method": "simple",
        "idf_overlap": 1.0,
        "question_start_idx": 80,
        "question_end_idx": 104,
        "training_overlap_text": f"… {' '.join(NOISE[0].split()[10:])} ⟨{PASSAGE}⟩ 【{QUESTION}】 "
        f"yes ⟦{ANSWER}⟧ {words('behind', 60)} …",
        "eval_question_text": QUESTION,
        "eval_overlap_text": QUESTION,
        "eval_answer_text": ANSWER,
        "eval_passage_text": PASSAGE,
        "answer_overlap_ratio": 1.0,
        "answer_idf_overlap": 1.0,
        "answer_start_idx": 106,
        "answer_end_idx": 110,
        "answer_boundaries": [(106, 110)],
        "passage_overlap_ratio": 1.0,
        "passage_idf_overlap": 1.0,
        "cluster_token_length": 25,
        "eval_token_length": 25,
        "token_length_delta": 0,
        "reference_file": "",
    }
    keep, reasons = keep_and_reasons(2, [match], 100)
    assert keep.tolist() == [True, False]
    assert reasons == [None, "full:full_test"]


def test_the_best_match_gives_the_reason():
    rows = [
        {"training_line": 3, "contamination_score": score, "eval_key": key}
        for score, key in ((0.8, "a"), (0.9, "b"), (0.9, "c"))
    ]
    assert best(rows) == {3: rows[1]}


def test_entries_that_say_too_little_are_left_out():
    references = [
        ENTRIES[0],
        replace(ENTRIES[0], fingerprint="f"),
        replace(ENTRIES[0], fingerprint="f", instance=1),
        replace(ENTRIES[0], fingerprint="f", key="another set"),
        Reference("a", "a", 0, words("x", 19)),
        Reference("a", "a", 1, "same " * 30),
        Reference("a", "a", 2, "?!", words("x", 30)),
    ]
    index = build_index(references, preset("default"), "words")
    assert index.skipped == {"short": 1, "few words": 1, "duplicate": 1, "no question": 1}
    assert len(index.references) == 3
    with pytest.raises(UserError, match="no entry to look for"):
        build_index(references[4:], preset("default"), "words")


@pytest.mark.parametrize("seed", range(6))
def test_matches_are_those_of_a_plain_implementation(seed, simple):
    """On texts of few words, with pieces of entries, repeated and changed."""
    draw = random.Random(seed)
    vocabulary = [f"w{n}" for n in range(draw.choice([12, 60, 400]))]

    def some(low, high):
        return [draw.choice(vocabulary) for _ in range(draw.randint(low, high))]

    parts = [
        {"question": some(6, 40), "answer": some(0, 12), "passage": some(0, 25)} for _ in range(40)
    ]
    settings = replace(
        PRESETS[draw.choice(list(PRESETS))],
        contamination_score_threshold=draw.choice([0.4, 0.6, 0.8]),
        sample_every_m_tokens=draw.choice([1, 3, 10]),
        index_passages=True,
        eval_min_token_length=0,
        eval_min_unique_word_count=0,
    )
    entries = [
        Reference(
            "r", "r", n, *(" ".join(part[name]) for name in ("question", "answer", "passage"))
        )
        for n, part in enumerate(parts)
    ]
    texts = []
    for _ in range(60):
        text = some(0, 30)
        for part in draw.choices(parts, k=3):
            for name in draw.choice([("question",), ("passage", "question", "answer")]):
                piece = list(part[name])
                for _ in range(draw.choice([0, 0, 1, 3])):
                    if piece:
                        piece[draw.randrange(len(piece))] = draw.choice(vocabulary)
                text += piece + some(0, 4)
        texts.append(text)
    index = build_index(entries, settings, "words")
    joined = pa.chunked_array([pa.array([" ".join(text) for text in texts], pa.large_string())])
    tokens, offsets = index.tokenizer.encode(strings_of(joined))
    rows = kernels.find_matches(
        tokens, offsets, index.questions, index.answers, index.passages, settings.limits
    )
    plain = simple(parts, settings)
    expected = [(n, *match) for n, text in enumerate(texts) for match in plain.matches(text)]
    columns = [kernels.DOCUMENT, kernels.ENTRY, kernels.START, kernels.LAST, kernels.SCORE]
    assert expected
    assert rows[:, columns].tolist() == [
        [*match[:4], pytest.approx(match[4], abs=1e-9)] for match in expected
    ]
