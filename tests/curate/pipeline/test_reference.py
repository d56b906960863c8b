"""Every step says what it does and takes."""

import pytest

from olmoflow.curate.pipeline.reference import REQUIRED, names, page, summary


@pytest.mark.parametrize("name", names())
def test_every_step_and_argument_is_described(name):
    assert summary(name).endswith((".", "first.", ")"))
    found = page(name)
    # What every operation on a text has is said once.
    for argument in set(found["arguments"]) - {"text_field"}:
        assert f"{argument}:" in found["text"], f"{name}.{argument} is not described"


def test_defaults_are_those_of_the_class():
    assert page("page_len_filter")["arguments"]["length_type"] == REQUIRED
    assert page("madlad400_sentence_annotator")["arguments"]["rules_to_include"] == []
