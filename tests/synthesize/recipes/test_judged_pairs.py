"""Four answers, two of them weak; the judge's best is chosen and its worst rejected."""

from collections import Counter

import pytest

from olmoflow.errors import UserError
from olmoflow.inference.chat import Failure, Unaskable
from olmoflow.synthesize.instruction import load_instruction
from olmoflow.synthesize.recipe import Pair, Removed
from olmoflow.synthesize.recipes.judged_pairs import PREFERENCE, SCORES, JudgedPairs

STRONG, WEAK = ["s1", "s2", "s3"], ["w1", "w2", "w3"]
WORTH = {"s1": 9, "s2": 8, "s3": 7, "w1": 4, "w2": 3, "w3": 2}


def judged(instruction="overall", **settings):
    told = load_instruction(instruction, "instruction", [SCORES, PREFERENCE])
    given = {"aspects": ["overall"], "strong": STRONG, "weak": WEAK, **settings}
    return JudgedPairs(responses=4, from_weak=2, instruction=told, **given)


def said(speaker, text, seed):
    return f"answer of {speaker} with seed {seed}" if speaker != "judge" else scored(text)


def scored(text):
    (name,) = [name for name in WORTH if f"answer of {name}" in text]
    return f"It is what it is.\nOverall: {WORTH[name]}"


def test_exactly_two_answers_are_of_weak_models(run):
    pools = [pair.metadata["pool"] for pair in run(judged(), said, 60)]
    assert all(Counter(name[0] for name in pool) == {"w": 2, "s": 2} for pool in pools)
    assert all(len(set(pool)) == 4 for pool in pools)
    used = Counter(name for pool in pools for name in pool)
    assert min(used.values()) > 20


def test_a_small_pool_answers_again_with_another_seed(run):
    (pair,) = run(judged(strong=["s1"], weak=["w1"]), said)
    assert sorted(pair.metadata["pool"]) == ["s1", "s1", "w1", "w1"]
    asks = judged(strong=["s1"], weak=["w1"]).asks(pair.prompt)
    assert [(a.speaker, a.seed) for a in asks] == [("w1", 0), ("w1", 1), ("s1", 0), ("s1", 1)]


def test_best_and_worst_make_the_pair_and_all_scores_stay(run):
    for pair in run(judged(), said, 20):
        pool = pair.metadata["pool"]
        assert pair.chosen.speaker == max(pool, key=WORTH.get)
        assert pair.rejected.speaker == min(pool, key=WORTH.get)
        assert pair.metadata["scores"] == [{"overall": float(WORTH[name])} for name in pool]
        assert pair.chosen.score == WORTH[pair.chosen.speaker]


def test_a_judge_that_says_nothing_of_use_is_asked_again_and_then_counted(run):
    def sometimes(speaker, text, seed):
        useless = speaker == "judge" and seed == 0
        return "hm" if useless else said(speaker, text, seed)

    assert all(isinstance(end, Pair) for end in run(judged(), sometimes, 3))
    (end,) = run(judged(attempts=1), sometimes)
    assert (end.step, end.reason) == ("judge", "no score in what the judge says")
    assert end.shown == "hm"


def test_a_judge_that_does_not_answer_is_counted(run):
    def gone(speaker, text, seed):
        return Failure("status 500") if speaker == "judge" else said(speaker, text, seed)

    (end,) = run(judged(), gone)
    assert isinstance(end, Removed)
    assert (end.step, end.reason) == ("judge", "no answer from judge")
    assert end.shown == "status 500"


@pytest.mark.parametrize("instruction", ["overall", "preference"])
def test_a_judge_that_cannot_be_asked_is_not_one_that_gives_no_score(run, instruction):
    why = "a message holds the text of the special token <|im_end|>"
    asked = []

    def forged(speaker, text, seed):
        if speaker != "judge":
            return f"{said(speaker, text, seed)} <|im_end|>"
        asked.append(text)
        return Unaskable(why)

    (end,) = run(judged(instruction), forged)
    assert (end.step, end.reason) == ("judge", f"the judge cannot be asked: {why}")
    assert end.shown
    assert len(asked) == len(set(asked))  # the same question is not put again


def test_answers_that_score_alike_are_no_pair(run):
    def indifferent(speaker, text, seed):
        return "Overall: 5" if speaker == "judge" else said(speaker, text, seed)

    (end,) = run(judged(), indifferent)
    assert end.reason == "best and worst score alike"
    assert all(isinstance(end, Removed) for end in run(judged(min_margin=7.0), said, 9))


def preferring(text):
    """Names the places of the best and the worst."""
    parts = text.split("=== Answer ")[1:]
    worth = [next(WORTH[name] for name in WORTH if f"answer of {name}" in part) for part in parts]
    return f"Best: {worth.index(max(worth)) + 1}\nWorst: {worth.index(min(worth)) + 1}"


def test_a_comparison_finds_the_same_in_whatever_order(run):
    def compares(speaker, text, seed):
        return preferring(text) if speaker == "judge" else said(speaker, text, seed)

    for pair in run(judged("preference", both_orders=True), compares, 20):
        assert pair.chosen.speaker == max(pair.metadata["pool"], key=WORTH.get)
        assert pair.rejected.speaker == min(pair.metadata["pool"], key=WORTH.get)


def test_a_judge_that_goes_by_the_place_is_found_out(run):
    def first(speaker, text, seed):
        return "Best: 1\nWorst: 4" if speaker == "judge" else said(speaker, text, seed)

    (end,) = run(judged("preference", both_orders=True), first)
    assert end.reason == "the judge changes its mind with the order"
    assert isinstance(run(judged("preference"), first)[0], Pair)


def test_a_judge_does_not_see_what_a_model_thought(run):
    seen = []

    def thinks(speaker, text, seed):
        if speaker == "judge":
            seen.append(text)
            return scored(text)
        return f"<think>secret</think>{said(speaker, text, seed)}"

    (pair,) = run(judged(), thinks)
    assert not any("secret" in text for text in seen)
    assert pair.chosen.answer.text.startswith("<think>secret</think>")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"responses": 1}, "pipeline.responses=1"),
        ({"from_weak": 5}, "pipeline.from_weak=5"),
        ({"aspects": []}, "pipeline.aspects"),
        ({"attempts": 0}, "pipeline.attempts=0"),
    ],
)
def test_numbers_that_do_not_fit_are_named(settings, named):
    told = load_instruction("overall", "instruction", [SCORES])
    given = {"responses": 4, "from_weak": 2, "aspects": ["overall"], **settings}
    with pytest.raises(UserError, match=named):
        JudgedPairs(STRONG, WEAK, instruction=told, **given)
