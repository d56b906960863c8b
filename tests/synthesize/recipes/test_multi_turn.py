"""Turns are written before the last, which alone differs."""

from collections import Counter

import pytest

from olmoflow.errors import UserError
from olmoflow.inference.chat import Answer
from olmoflow.synthesize.instruction import load_instruction
from olmoflow.synthesize.recipe import Removed
from olmoflow.synthesize.recipes.multi_turn import BLANKS, KINDS, MultiTurn
from olmoflow.tokens.chat.conversation import Message

NAMES = {"self_talk": "next_turn", "related": "related", "paraphrase": "paraphrase"}
INSTRUCTIONS = {k: load_instruction(NAMES[k], k, [{BLANKS[k]}]) for k in NAMES}


def of(kind, **settings):
    return MultiTurn({kind: 1.0}, INSTRUCTIONS, **settings)


def said(speaker, text, seed):
    if "Write what the user says next" in text:
        return "and then?"
    if "Write another request" in text:
        return "something related"
    if "in other words" in text:
        return "put differently"
    return f"<think>so</think>{speaker} on {text}"


def turns(pair):
    return [(message.role, message.content) for message in pair.messages]


def test_self_talk_goes_on_for_the_user(run):
    (pair,) = run(of("self_talk", turns=2), said)
    assert turns(pair) == [
        ("user", "request 0"),
        ("assistant", "strong on request 0"),
        ("user", "and then?"),
        ("assistant", "strong on and then?"),
        ("user", "and then?"),
    ]
    assert pair.chosen.answer.text == "<think>so</think>strong on and then?"
    assert pair.rejected.answer.text == "<think>so</think>weak on and then?"
    assert pair.metadata == {"context": "self_talk"}


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("related", "something related"),
        ("paraphrase", "put differently"),
        ("repeat", "request 0"),
    ],
)
def test_a_synthetic_context_comes_before_the_request(run, kind, first):
    history = (Message("system", "be kind"),)
    (pair,) = run(of(kind), said, history=history)
    assert turns(pair) == [
        ("system", "be kind"),
        ("user", first),
        ("assistant", f"strong on {first}"),
        ("user", "request 0"),
    ]


def test_kinds_are_drawn_in_proportion(run):
    recipe = MultiTurn({"self_talk": 3, "related": 1, "paraphrase": 1, "repeat": 1}, INSTRUCTIONS)
    kinds = Counter(pair.metadata["context"] for pair in run(recipe, said, 600))
    assert set(kinds) == set(KINDS)
    assert 250 < kinds["self_talk"] < 350
    assert all(60 < kinds[kind] < 140 for kind in ("related", "paraphrase", "repeat"))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Answer("cut of", None, "length"), "a turn was cut at its limit"),
        ("<think>for ever", "a turn is empty"),
    ],
)
def test_a_context_that_is_no_turn_removes_the_prompt(run, reply, reason):
    (end,) = run(of("repeat"), lambda *_: reply)
    assert isinstance(end, Removed)
    assert (end.step, end.reason) == ("context", reason)


@pytest.mark.parametrize("shares", [{}, {"repeat": 0.0}, {"repeat": -1.0}, {"sing": 1.0}])
def test_shares_that_draw_nothing_are_named(shares):
    with pytest.raises(UserError, match=r"pipeline\.kinds"):
        MultiTurn(shares, INSTRUCTIONS)
