"""Numbers of turns; gaps between the lengths of chosen and rejected."""

from olmoflow.curate.pipeline.plan import build_step


def test_turns_are_counted_by_their_role(judged, turns):
    rows = turns("q", "a"), turns("q", "a", "q", "a"), turns("q")
    assert judged("turn_count_filter", *rows) == [None, None, "fewer than 1 turns"]
    assert judged("turn_count_filter", *rows, upper_bound=1, lower_bound=0) == [
        None, "more than 1 turns", None,
    ]  # fmt: skip
    assert judged("turn_count_filter", *rows, turns="all", lower_bound=3)[1] is None


def test_a_gap_between_chosen_and_rejected(judged, turns, documents):
    def pair(chosen, rejected, source="chat"):
        sides = {"chosen": turns("q", "w " * chosen), "rejected": turns("q", "w " * rejected)}
        return {**sides, "source": source}

    rows = pair(150, 50), pair(151, 50), pair(1, 102), pair(151, 50, "math")
    reason = "lengths differ by more than 100 tokens"
    assert judged("length_gap_filter", *rows) == [None, reason, reason, reason]
    assert judged("length_gap_filter", *rows, sources=["chat"]) == [None, reason, reason, None]
    # "w " is two bytes.
    assert judged("length_gap_filter", *rows, max_gap=201, tokenizer_name="bytes") == [
        None, *[reason.replace("100", "201")] * 3,
    ]  # fmt: skip
    outcome = build_step("length_gap_filter", {})(documents({"messages": turns("q", "a")}))
    assert outcome.errors == {0: "no chosen and rejected: this is no preference"}
