"""Each instruction tells who follows it, and all of IFBench can be checked."""

import json
from pathlib import Path

import pytest
from instruction_table import IFBENCH, IFEVAL

from olmoflow.errors import UserError
from olmoflow.verifiers import Answer
from olmoflow.verifiers.instructions import ifbench, ifeval
from olmoflow.verifiers.instructions.verifier import (
    INSTRUCTIONS,
    InstructionVerifier,
    instructions,
    judge_instructions,
)


@pytest.fixture(scope="module")
def verifier():
    verifier = InstructionVerifier(workers=1, deadline=60.0)
    yield verifier
    verifier.close()


def row(*wanted):
    return {
        "instruction_id_list": [name for name, _ in wanted],
        "kwargs": [arguments for _, arguments in wanted],
    }


def score(text, *wanted, loose=False):
    return judge_instructions(text, (instructions(row(*wanted)), loose, False)).score


@pytest.mark.parametrize(("name", "arguments", "right", "wrong"), IFEVAL + IFBENCH)
def test_each_instruction_tells_who_follows(name, arguments, right, wrong):
    assert score(right, (name, arguments)) == 1
    assert score(wrong, (name, arguments)) == 0


def test_the_table_has_every_instruction():
    assert {name for name, *_ in IFEVAL} == set(ifeval.INSTRUCTIONS)
    assert {name for name, *_ in IFBENCH} == set(ifbench.INSTRUCTIONS)
    assert (len(ifeval.INSTRUCTIONS), len(ifbench.INSTRUCTIONS)) == (25, 58)


ODD = [
    "",
    " ",
    "\n\n",
    "a",
    "?",
    "...",
    '"',
    "*",
    "日本",
    "1",
    "<i>",
    "((",
    "- \n*",
    "\u200b",
    "\t",
]


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_no_text_breaks_an_instruction(name):
    arguments = next(given for other, given, *_ in IFEVAL + IFBENCH if other == name)
    for text in ODD:
        assert score(text, (name, arguments)) in (0, 1)


def test_every_prompt_of_ifbench_can_be_checked(verifier):
    """Its instructions and their arguments, as they stand in the data."""
    data = Path(__file__).parents[2] / "fixtures" / "ifbench_instructions.json"
    rows = json.loads(data.read_text())
    assert len(rows) == 294
    verdicts = verifier.verify([Answer("Run, and look at this. Is it 5?", row) for row in rows])
    assert {verdict.outcome for verdict in verdicts} == {"scored"}


COMMA = ("punctuation:no_comma", {})
QUOTED = ("startend:quotation", {})


def test_the_score_is_the_share_and_the_rest_is_named(verifier):
    verdict = verifier.verify([Answer("no comma", row(COMMA, QUOTED))])[0]
    assert verdict.score == 0.5
    assert verdict.detail == "not followed: startend:quotation"
    strict = InstructionVerifier(mode="all", workers=1)
    answers = [Answer("no comma", row(COMMA, QUOTED)), Answer('"no comma"', row(COMMA, QUOTED))]
    assert [verdict.score for verdict in strict.verify(answers)] == [0, 1]
    strict.close()


def test_loose_forgives_a_first_and_a_last_line_and_asterisks():
    text = 'Sure, here it is:\n*"text"*\nI hope this helps'
    assert score(text, QUOTED) == 0
    assert score(text, QUOTED, loose=True) == 1
    assert score("a, b\nc, d\ne, f", COMMA, loose=True) == 0


def test_thinking_is_not_checked_and_nothing_is_no_answer(verifier):
    verdicts = verifier.verify(
        [Answer("<think>a, b</think>c", row(COMMA)), Answer("<think>a</think>", row(COMMA))]
    )
    assert (verdicts[0].score, verdicts[1].outcome) == (1, "no_answer")


def test_a_keyword_that_is_no_pattern_is_an_error_not_a_zero(verifier):
    verdict = verifier.verify([Answer("a", row(("keywords:existence", {"keywords": ["("]})))])[0]
    assert verdict.outcome == "error"
    assert "missing )" in verdict.detail


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        (None, "expected a row"),
        ({"instruction_id_list": []}, "instruction_id_list: found"),
        ({"instruction_id_list": ["startend:quotation"], "kwargs": []}, "expected 1 mappings"),
        ({"instruction_id_list": ["startend:quote"], "kwargs": [{}]}, "found startend:quote"),
        ({"instruction_id_list": ["count:numbers"], "kwargs": [{"N": None}]}, "missing a required"),
        ({"instruction_id_list": ["count:numbers"], "kwargs": [{"N": 1, "M": 2}]}, "unexpected"),
    ],
)
def test_a_row_that_cannot_be_checked_is_the_users_mistake(verifier, reference, says):
    with pytest.raises(UserError, match=says):
        verifier.verify([Answer("a", reference)])
