"""A claim of another's identity goes, its name alone does not."""

import pytest

from olmoflow.curate.pipeline.plan import build_step
from olmoflow.errors import UserError

STEP = "identity_filter"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I'm ChatGPT, a large language model.", "says: i'm chatgpt"),
        ("I’m Claude.", "says: i'm claude"),
        ("As an AI developed by\nOpenAI I cannot.", "says: ai developed by openai"),
        ("My knowledge cutoff is in 2021.", "says: my knowledge cutoff"),
        ("<think>I was trained by Google.</think>No.", "says: i was trained by google"),
        ("Claude and ChatGPT are assistants; OpenAI made one of them.", None),
        ("I am Claudette.", None),
        ("Miami Phillies", None),
        ("I am Olmo, made by Ai2.", None),
    ],
)
def test_claims_and_mentions(judged, turns, answer, reason):
    assert judged(STEP, turns("Who are you?", answer)) == [reason]


def test_only_the_turns_that_are_named_are_looked_at(judged, turns):
    asked = turns("I am Claude, and you?", "A friend.")
    assert judged(STEP, asked) == [None]
    assert judged(STEP, asked, turns="user") == ["says: i am claude"]
    pair = {"chosen": turns("Who?", "A friend."), "rejected": turns("Who?", "I am Claude.")}
    assert judged(STEP, pair) == ["says: i am claude"]
    assert judged(STEP, pair, turns="chosen") == [None]


def test_a_list_of_ones_own_and_names_that_are_allowed(judged, turns, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("assistants: [Tülu, Olmo]\nphrases: ['I am {assistant}', over and out]\n")
    rows = [turns("q", answer) for answer in ("I am TÜLU.", "I am Olmo.", "Over and out!", "I am")]
    settings = {"phrases": str(path), "allowed": ["olmo"]}
    assert judged(STEP, *rows, **settings) == ["says: i am tülu", None, "says: over and out", None]


@pytest.mark.parametrize(
    "text", ["- a list", "assistants: [A]", "phrases: [1]", "phrase: [a]", "{"]
)
def test_a_file_that_is_no_list_of_phrases_is_refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"identity_filter.phrases='.*mine.yaml': expected a YAML"):
        build_step(STEP, {"phrases": str(path)})
