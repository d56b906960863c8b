"""Which turns each name stands for, of a conversation and of a preference."""

import pytest

from olmoflow.curate.conversations.turns import WHICH, chosen_turns, texts_of
from olmoflow.curate.pipeline.plan import build_step
from olmoflow.errors import UserError


def test_names_of_turns(turns):
    messages = [{"role": "system", "content": "S"}, *turns("q1", "a1", "q2", "a2")]
    rejected = [*messages[:-1], {"role": "assistant", "content": "b2"}]
    conversation = {"messages": messages}
    preference = {"chosen": messages, "rejected": rejected}

    def said(sides):
        return {w: " ".join(t["content"] for t in chosen_turns(sides, w)) for w in WHICH}

    both = {"assistant": "a1 a2", "user": "q1 q2", "system": "S", "prompt": "S q1 a1 q2"}
    assert said(conversation) == both | {
        "all": "S q1 a1 q2 a2", "last": "a2", "chosen": "", "rejected": "",
    }  # fmt: skip
    assert said(preference) == both | {
        "all": "S q1 a1 q2 a2 b2", "assistant": "a1 a2 b2", "last": "a2 b2",
        "chosen": "a2", "rejected": "b2",
    }  # fmt: skip


def test_a_document_without_turns_is_its_text(documents, turns):
    table = documents({"text": "plain"}, {"messages": turns("q", "a")})
    assert texts_of(table, "user") == ["plain", "q"]


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match=r"identity_filter.turns='answers': expected one of all, "):
        build_step("identity_filter", {"turns": "answers"})
