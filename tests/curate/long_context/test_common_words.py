"""The answers are counted again, in the text as it was written."""

import json
import re

from olmoflow.curate.long_context.common_words import CommonWords
from olmoflow.curate.long_context.wording import in_words


def texts_of_parts(text):
    """The parts of a written document, without their questions."""
    pieces = re.split(r"\n\nQuestions on part \d+((?:\n\nQuestion: [^\n]*\nAnswer: [^\n]*)+)", text)
    return pieces[0::2]


def test_answers_are_the_counts_in_the_parts(documents):
    outcome = CommonWords(seed=3)(documents)
    assert outcome.keep.tolist() == [True, True, True, False]
    total = 0
    for text, asked in zip(
        outcome.documents["text"].to_pylist()[:3],
        outcome.documents["metadata.synth_cwe"].to_pylist(),
        strict=False,
    ):
        parts = texts_of_parts(text)
        for one in json.loads(asked):
            count = len(re.findall(rf"\b{one['word']}\b", parts[one["part"] - 1], re.IGNORECASE))
            assert count == one["count"] > 1
            assert f"Question: {one['question']}\nAnswer: {one['answer']}" in text
            said = one["answer"].casefold()
            assert re.search(rf"\b({count}|{in_words(count)})\b", said)
            total += 1
        assert len(parts) >= 2
    assert total >= 3 * 2 * 5


def test_the_documents_text_is_all_there(documents):
    outcome = CommonWords(seed=3)(documents)
    for before, after in zip(documents["text"], outcome.documents["text"], strict=True):
        original = "".join(texts_of_parts(after.as_py()))
        assert re.sub(r"\s", "", original) == re.sub(r"\s", "", before.as_py())
    assert outcome.documents["text"][3] == documents["text"][3]


def test_a_document_is_written_by_seed_and_id_alone(documents):
    whole = CommonWords(seed=3)(documents).documents
    alone = CommonWords(seed=3)(documents.slice(1, 1)).documents
    assert alone["text"][0] == whole["text"][1]
    assert CommonWords(seed=4)(documents).documents["text"][1] != whole["text"][1]
