"""Operations on texts see the turns that are named, and the documents stay as they were."""

import pytest

from olmoflow.curate.pipeline.plan import build_step
from olmoflow.errors import UserError

WORDS = {"name": "page_len_filter", "length_type": "word", "lower_bound": 3}


def test_a_filter_sees_the_turns_that_are_named(documents, turns):
    table = documents(
        {"messages": turns("one two three", "one")}, {"messages": turns("one", "one two three")}
    )
    assert build_step("on_turns", {"step": WORDS})(table).keep.tolist() == [False, True]
    asked = build_step("on_turns", {"step": WORDS, "turns": "user"})(table)
    assert asked.keep.tolist() == [True, False]
    assert asked.documents.equals(table)


def test_an_annotation_is_of_the_turns(documents, turns):
    table = documents({"messages": turns("one two three", "one two")})
    step = {"name": "word_count_adder", "word_count_field": "metadata.words"}
    found = build_step("on_turns", {"step": step, "turns": "last"})(table).documents
    assert found.column("metadata.words").to_pylist() == [2]
    assert found.column("text").equals(table.column("text"))


def test_mistakes_name_the_step_within(documents, turns):
    with pytest.raises(UserError, match=r"on_turns.step\[0\] page_len_filter.length_type: missing"):
        build_step("on_turns", {"step": {"name": "page_len_filter"}})
    with pytest.raises(
        UserError, match=r"on_turns.step.name=exact_dedup: expected a map operation"
    ):
        build_step("on_turns", {"step": {"name": "exact_dedup"}})
    step = build_step("on_turns", {"step": {"name": "newline_removal_modifier"}})
    with pytest.raises(UserError, match=r"on_turns: newline_removal_modifier changes texts"):
        step(documents({"messages": turns("q", "a\n\n\n\nb")}))
