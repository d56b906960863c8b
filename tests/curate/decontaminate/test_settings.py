"""Presets, and mistakes in settings."""

import pytest

from olmoflow.curate.decontaminate.settings import minimum_question_overlap, preset
from olmoflow.errors import UserError


def test_presets_are_decons():
    default, web, synth = (preset(name) for name in ("default", "olmo_web", "olmo_synth"))
    assert [one.contamination_score_threshold for one in (default, web, synth)] == [0.8, 0.88, 0.78]
    assert [
        (one.perfect_match_decay_start, one.perfect_match_decay_end)
        for one in (default, web, synth)
    ] == [(20, 50), (25, 50), (5, 26)]
    assert [one.index_passages for one in (default, web, synth)] == [True, False, True]


def test_the_least_question_leaves_room_for_a_perfect_answer_and_passage():
    assert 0.7 * minimum_question_overlap(0.8) + 0.2 + 0.1 == pytest.approx(0.8)
    assert minimum_question_overlap(0.2) == 0


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("olmo_code", {}, "preset=olmo_code: no such preset; expected default, olmo_web"),
        ("default", {"ngrams": 5}, "ngrams: no setting of decontamination; expected ngram_size"),
        ("default", {"ngram_size": 2.5}, "ngram_size=2.5: expected int"),
        ("default", {"ngram_size": 0}, "ngram_size=0: too small"),
        ("default", {"eval_dedup": 1}, "eval_dedup=1: expected bool"),
        ("default", {"contamination_score_threshold": 1.5}, "expected above 0 and at most 1"),
    ],
)
def test_mistakes_name_the_setting(name, changes, message):
    with pytest.raises(UserError, match=message):
        preset(name, changes)


def test_a_whole_number_is_a_threshold():
    assert (
        preset("default", {"contamination_score_threshold": 1}).contamination_score_threshold == 1
    )
