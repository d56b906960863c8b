"""Turns in order, none empty, thoughts closed; each fault by its name."""

import pytest

STEP = "conversation_format_filter"


@pytest.mark.parametrize(
    ("contents", "roles", "reason"),
    [
        (["q", "a"], ["user", "assistant"], None),
        (["s", "q", "a", "q", "a"], ["system", "user", "assistant", "user", "assistant"], None),
        (["q", "a", "e", "e", "a"], ["user", "assistant", *["environment"] * 2, "assistant"], None),
        (["q", "a", "", "a"], ["user", "assistant", "environment", "assistant"], None),
        (["q", "a"], ["human", "assistant"], "unknown role"),
        (["a", "q"], ["assistant", "user"], "roles out of order"),
        (["q", "q", "a"], ["user", "user", "assistant"], "roles out of order"),
        (["q", "s", "a"], ["user", "system", "assistant"], "roles out of order"),
        (["q", "a", "q"], ["user", "assistant", "user"], "does not end with the assistant"),
        (["q", "  "], ["user", "assistant"], "empty turn of the assistant"),
        ([" ", "a"], ["user", "assistant"], "empty turn of the user"),
        (["q", "a<|im_end|>"], ["user", "assistant"], "a chat template's token in a turn"),
    ],
)
def test_turns(judged, contents, roles, reason):
    rows = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]
    assert judged(STEP, rows) == [reason]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("<think>Hm.</think>Yes.", None),
        ("<think></think>Yes.", None),
        ("The tag is written without a slash.", None),
        ("<think>Hm. Yes.", "<think> is not closed"),
        ("Hm.</think>Yes.", "</think> closes nothing"),
        ("</think>Hm.<think>", "</think> closes nothing"),
        ("<think>Hm.</think></think>Yes.", "</think> closes nothing"),
        ("<think>a</think><think>b</think>Yes.", "<think> more than once"),
        ("<think>Hm.</think>\n", "nothing after </think>"),
    ],
)
def test_thoughts(judged, turns, answer, reason):
    assert judged(STEP, turns("q", answer)) == [reason]
    # In every turn of the assistant, not only in the last.
    assert judged(STEP, turns("q", answer, "q", "a")) == [reason]


def test_a_call_after_a_thought_is_an_answer(judged, turns):
    (question,) = turns("q")
    call = {"role": "assistant", "content": "<think>Hm.</think>", "function_calls": "f()"}
    assert judged(STEP, [question, call]) == [None]


def test_thinking_may_be_demanded_or_forbidden(judged, turns):
    rows = turns("q", "<think>Hm.</think>Yes."), turns("q", "Yes.")
    assert judged(STEP, *rows, thinking="required") == [None, "no <think> in the last turn"]
    assert judged(STEP, *rows, thinking="forbidden") == ["<think> in the last turn", None]


def test_both_sides_of_a_preference_are_looked_at(judged, turns):
    def pair(chosen, rejected):
        return {"chosen": turns(*chosen), "rejected": turns(*rejected)}

    rows = [
        pair(["q", "a"], ["q", "b"]),
        pair(["q", "a"], ["q", ""]),
        pair(["q", "a"], ["q", "a"]),
        pair(["q", "a"], ["p", "b"]),
        pair(["q", "a"], ["q", "a", "q", "b"]),
    ]
    assert judged(STEP, *rows) == [
        None,
        "empty turn of the assistant",
        "chosen and rejected are the same",
        "chosen and rejected differ before their last turn",
        "chosen and rejected differ before their last turn",
    ]
