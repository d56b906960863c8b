"""The share of Chinese characters, of what is visible."""

import pytest

from olmoflow.curate.pipeline.plan import build_step
from olmoflow.errors import UserError

STEP = "script_share_filter"
REASON = "5% or more Han characters"


def test_the_limit_is_met_at_five_in_a_hundred(judged, turns):
    rows = [
        turns("q", "中" * n + "ab   c" * ((100 - n) // 3) + "d" * ((100 - n) % 3)) for n in (4, 5)
    ]
    assert judged(STEP, *rows) == [None, REASON]
    assert judged(STEP, *rows, max_share=0.04) == ["4% or more Han characters"] * 2


def test_a_chinese_question_may_have_a_chinese_answer(judged, turns):
    rows = turns("你好吗", "我很好"), turns("How are you?", "我很好")
    assert judged(STEP, *rows) == [REASON, REASON]
    assert judged(STEP, *rows, unless_asked=True) == [None, REASON]
    assert judged(STEP, turns("你好吗", "Fine.")) == [None]


def test_other_scripts_and_names_that_are_none(judged, turns):
    assert judged(STEP, turns("q", "Да"), script="Cyrillic") == ["5% or more Cyrillic characters"]
    assert judged(STEP, turns("q", "ひらがな")) == [None]
    with pytest.raises(UserError, match=r"script_share_filter.script='Chinese': expected a script"):
        build_step(STEP, {"script": "Chinese"})
