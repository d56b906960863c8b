"""Answers are found where models put them."""

import pytest

from olmoflow.errors import UserError
from olmoflow.verifiers import extraction
from olmoflow.verifiers.extraction import RULES, extract, rules, without_thinking

FOUND = [
    ("boxed", r"so \boxed{5}.", "5"),
    ("boxed", r"\boxed{1} no, \boxed{2}", "2"),
    ("boxed", r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
    ("boxed", r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    ("boxed", r"\boxed{\left\{x\right.}", r"\left\{x\right."),
    ("boxed", r"$\boxed 7$", "7"),
    ("boxed", r"\fbox{ 3 }", "3"),
    ("boxed", r"\boxed{4} and \boxed{never closed", "4"),
    ("boxed", r"\boxed{}", None),
    ("boxed", "no box", None),
    (
        "final_answer",
        "Final Answer: The final answer is $\\frac{1}{2}$. I hope it is correct.",
        r"\frac{1}{2}",
    ),
    ("final_answer", "Final Answer:\nThe final answer is 12. I hope it is correct.", "12"),
    ("final_answer", "The final answer is 12.", None),
    ("answer_line", "text\nAnswer: 12\n", "12"),
    ("answer_line", "**Answer:** $x+1$", "x+1"),
    ("answer_line", "Answer: 1\nmore\nAnswer: 2", "2"),
    ("answer_line", "Answer: **5.**  \nmore", "5"),
    ("answer_line", "Answer: **", None),
    ("answer_line", "My answer: none", None),
    ("the_answer_is", "The answer is 3.5.", "3.5"),
    ("the_answer_is", "So the answer is: $7$", "7"),
    ("the_answer_is", "the final answer is (1, 2). Done.", "(1, 2)"),
    ("the_answer_is", "The answer is **18 dollars**.", "18 dollars"),
    ("the_answer_is", "The answer is 5. No, the answer is 6!", "6"),
    ("the_answer_is", "the answer is not 4, the answer is 5", "5"),
    ("the_answer_is", "The answer is:\n\n42\nfor all x", "42"),
    ("the_answer_is", "the answer is", None),
    ("hashes", "because\n#### 1,200", "1,200"),
    ("answer_tag", "<answer>1</answer> or <answer> 2 </answer>", "2"),
    ("answer_tag", "<answer>1", None),
    ("dollars", "we get $a$ and $b$", "b"),
    ("dollars", "we get $$c$$", "c"),
    ("dollars", "costs $5", None),
    ("last_number", "first 3 then 1,234.50 dollars.", "1234.50"),
    ("last_number", "it is $-7", "-7"),
    ("last_number", "-$12", "-12"),
    ("last_number", "1, 2,345", "2345"),
    ("last_number", "items 10,20", "20"),
    ("last_number", "So the answer is - 10.", "-10"),
    ("last_number", "5 - 10", "10"),
    ("last_number", "x = - 10", "-10"),
    ("last_number", "none", None),
    ("whole", "  all of it ", "all of it"),
]


@pytest.mark.parametrize(("rule", "text", "answer"), FOUND)
def test_rules_find_the_answer(rule, text, answer):
    assert RULES[rule](text) == answer


def test_the_first_rule_that_finds_something_wins():
    order = rules(["boxed", "hashes", "last_number"])
    assert extract(r"#### 4 \boxed{5} 6", order) == "5"
    assert extract("7\n#### 4", order) == "4"
    assert extract("7", order) == "7"
    assert extract("none", order) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<think>\boxed{1}</think>\boxed{2}", r"\boxed{2}"),
        (r"\boxed{1}</think> \boxed{2}", r"\boxed{2}"),
        (r"<think>a</think> b <think>c</think> d", "d"),
        (r"before <think> \boxed{1} and on and on", "before"),
        ("plain", "plain"),
    ],
)
def test_thinking_is_no_answer(text, answer):
    assert without_thinking(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 30_000,
        "$" * 200_000,
        "answer is " * 30_000,
        "Answer:" + " " * 200_000,
        "Answer: 5" + "*" * 200_000 + "x",
        "the answer is 5" + " " * 200_000 + "x",
        "the answer is" + "\n" * 200_000,
        "final answer is" * 20_000,
        "1," * 200_000,
        "#" * 200_000,
        "\n" * 200_000,
        "<think>" * 50_000,
        "-$" * 100_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_rules_get_through_any_text(text):
    """In quadratic time these would take hours."""
    for rule in RULES.values():
        rule(text)
    without_thinking(text)


def test_unknown_rules_are_named_with_those_that_exist():
    with pytest.raises(UserError, match=r"extract: found bokked, expected rules out of boxed, "):
        extraction.rules(["boxed", "bokked"])
    with pytest.raises(UserError, match="found none"):
        extraction.rules([])
