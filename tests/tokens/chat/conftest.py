"""Conversations of every shape: what a template may trip over stands in their words."""

import pytest
from hypothesis import strategies as st

from olmoflow.tokens.chat.conversation import Message

WORDS = [
    *("Hello", " there", "\n", "\n\n", "  ", "\t", "é東🎉", "'\"&<>\\", "\\n", "3.14"),
    *(
        "<think>",
        "</think>",
        "<functions>",
        "</function_calls>",
        "{{ a }}",
        "{% if %}",
        "assistant",
    ),
]


@pytest.fixture(scope="session")
def conversations():
    """A hypothesis strategy: lists of messages."""
    text = st.lists(st.sampled_from(WORDS), max_size=6).map("".join)
    said = st.one_of(text, text.map("<think>{}</think>".format)).filter(bool)
    return st.lists(
        st.one_of(
            st.builds(Message, st.just("system"), text, st.none() | text),
            st.builds(Message, st.just("user"), text, st.none() | text),
            st.builds(Message, st.just("environment"), text),
            st.builds(Message, st.just("assistant"), said, st.none(), st.none() | said),
        ),
        min_size=1,
        max_size=7,
    )
