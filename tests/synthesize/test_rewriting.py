"""Which answers become documents, and what the others are counted as."""

import pytest

from olmoflow.documents import Document
from olmoflow.errors import UserError
from olmoflow.inference.chat import Answer, Failure, Unaskable
from olmoflow.synthesize.instruction import load_instruction
from olmoflow.synthesize.passages import Passage
from olmoflow.synthesize.rewriting import BLANKS, REWRITING, Rewriting, overlap, refuses

TEXT = "Water boils at one hundred degrees where the air presses as it does at the sea. " * 3
PASSAGE = Passage(Document("d7", TEXT * 2, "web", "p.html", "CC0"), 2, 2, TEXT)
GOOD = "Question: At which temperature does water boil at sea level?\nAnswer: At 100 degrees."


def ours(name="questions"):
    return load_instruction(name, "pipeline.instruction", BLANKS, folder=REWRITING)


def end(text, finish_reason="stop", **settings):
    return Rewriting(ours(), **settings).end(PASSAGE, Answer(text, 9, finish_reason), "m")


@pytest.mark.parametrize("name", ["questions", "textbook", "math", "code"])
def test_ours_ask_for_the_passage(name):
    asked = Rewriting(ours(name)).ask(PASSAGE)
    assert TEXT in asked.messages[0].content
    assert "$" not in asked.messages[0].content


def test_a_document_says_where_it_comes_from():
    assert end(f"<think>hm</think>\n{GOOD}") == {
        "id": "d7/questions/2",
        "text": GOOD,
        "source": "web",
        "path": "p.html",
        "license": "CC0",
        "metadata": {
            **{"document": "d7", "passage": 2, "passages": 2},
            **{"instruction": "questions", "model": "m"},
        },
    }
    assert end(GOOD, passage_first=True)["text"] == f"{TEXT}\n\n{GOOD}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think>so</think>  ", "the answer is empty"),
        ("I'm sorry, but I can't help with that. " * 2, "the writer refuses"),
        ("Boiling.", "shorter than 0.1 of the passage"),
        (TEXT + "Indeed.", "more than 0.8 of it is the passage"),
        (GOOD + "\0", "the text has a NUL character"),
    ],
)
def test_what_is_no_document_has_a_reason(text, reason):
    removed = end(text)
    assert (removed.step, removed.reason) == ("rewrites", reason)


def test_a_special_token_goes_unless_the_passage_is_about_it():
    tokens = ("<|im_start|>", "<|pad|>")
    removed = end(f"{GOOD}<|pad|>", special_tokens=tokens)
    assert removed.reason == "the answer holds the text of the special token <|pad|>"
    about = Passage(PASSAGE.document, 1, 1, f"{TEXT} <|pad|> fills up a batch.")
    reply = Answer(f"{GOOD} So <|pad|> does.", 9, "stop")
    assert Rewriting(ours(), special_tokens=tokens).end(about, reply, "m")["metadata"]


def test_a_fence_around_the_whole_is_no_part_of_the_text():
    code = "    def boil(self):\n        return 100  # degrees, at the sea"
    assert end(f"```python\n{code}\n```")["text"] == code
    shown = f"So:\n```python\n{code}\n```"
    assert end(shown)["text"] == shown
    two = f"```\n{code}\n```\nand\n```\n{code}\n```"
    assert end(two)["text"] == two


def test_answers_that_were_cut_go_unless_they_are_wanted():
    assert end(GOOD, "length").reason == "the answer was cut at its limit"
    assert end(GOOD, "length", keep_unfinished=True)["text"] == GOOD


def test_questions_without_an_answer_are_counted_apart():
    rewriting = Rewriting(ours())
    failed = rewriting.end(PASSAGE, Failure("status 400"), "m")
    unaskable = rewriting.end(PASSAGE, Unaskable("a token"), "m")
    assert (failed.step, failed.reason) == ("answers", "no answer from writer")
    assert (unaskable.step, unaskable.reason) == ("answers", "a token")


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't rewrite this.",
        "I’m really sorry, but I’m not able to write about that.",
        "I cannot help with this request.",
        "As an AI, I am unable to see the passage.",
        "Unfortunately, I won't be able to do that.",
    ],
)
def test_refusals_are_seen(text):
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        '"I am sorry," she said, and closed the door behind her.',
        "The valve cannot close when the spring is worn. I will explain why.",
        "Question: Why do people say that they are sorry?\nAnswer: Because they cannot undo it.",
        "Many patients tell their doctors: I cannot sleep.",
    ],
)
def test_texts_about_sorrow_are_no_refusals(text):
    assert not refuses(text)


def test_overlap_is_what_was_taken_over():
    assert overlap(TEXT, TEXT) == 1
    assert overlap(TEXT.upper().replace(".", "!"), TEXT) == 1
    assert overlap(GOOD, TEXT) == 0
    assert overlap("", TEXT) == 0
    assert 0.3 < overlap(TEXT + "and now for something quite different " * 6, TEXT) < 0.6
    assert overlap("水在一百度沸腾，在海边。", "我们知道水在一百度沸腾，在海边。") == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Write\n\nabout $pasage now", "line 3: $pasage is no blank, expected $passage or"),
        ("It costs $5: $passage", "line 1: $5: is no blank"),
        ("Write about $source", "has the blanks $source, expected $passage or $passage $source"),
    ],
)
def test_a_mistyped_blank_names_the_file_and_the_blank(tmp_path, text, found):
    file = tmp_path / "mine.txt"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        ours(str(file))
    assert str(error.value).startswith(f"pipeline.instruction={file}: {found}")


def test_an_instruction_of_ones_own_may_name_the_source(tmp_path):
    (tmp_path / "mine.txt").write_text("From ${source}, for $$5:\n$passage")
    rewriting = Rewriting(ours(str(tmp_path / "mine.txt")))
    assert rewriting.ask(PASSAGE).messages[0].content == f"From web, for $5:\n{TEXT}"
    assert rewriting.end(PASSAGE, Answer(GOOD, 9, "stop"), "m")["id"] == "d7/mine/2"


@pytest.mark.parametrize(
    "settings",
    [{"min_share": -1.0}, {"max_overlap": 1.5}, {"min_share": "a"}, {"passage_first": "no"}],
)
def test_settings_without_a_meaning_are_refused(settings):
    with pytest.raises(UserError, match=f"pipeline.{next(iter(settings))}"):
        Rewriting(ours(), **settings)
