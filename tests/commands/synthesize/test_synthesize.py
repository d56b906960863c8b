"""Delta learning from the command to the rows: what is removed, kept, resumed and refused."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from olmoflow.commands.main import main

WORDS = "one two three four five six seven eight nine ten and so on; "
TOKENIZE = [
    *("tokenize", "preferences=pairs", "template=think", "sequence_length=128", "too_long=drop"),
    *("tokenizer=folder", "runtime.progress=false", "output=json"),
]


def user(content):
    return {"role": "user", "content": content}


def said(content):
    return {"role": "assistant", "content": content}


def test_strong_is_chosen_and_weak_rejected(made):
    result = made("name=pairs")
    assert result["pairs"] == 6
    assert made.rows(result)[2] == {
        "id": "c2",
        "source": "chat",
        "chosen": [user("question 2"), said("strong on question 2")],
        "rejected": [user("question 2"), said("weak on question 2")],
        "chosen_model": "strong",
        "rejected_model": "weak",
        "chosen_tokens": 19,
        "rejected_tokens": 17,
    }
    assert (made.path(result) / "report.html").is_file()
    assert result["lengths"]["difference"]["mean"] == 2.0


def test_the_pairs_are_what_tokenize_reads(made, small_tokenizer, capfd):
    made("name=pairs")
    assert main([*TOKENIZE, f"tokenizer.source={small_tokenizer}"]) == 0
    written = json.loads(capfd.readouterr().out)["splits"]["train"]
    assert written["pairs"] == 6
    assert not any(written[kind] for kind in ("too_long", "malformed", "underivable"))


def slipped(body):
    """Some answers hold what no row of a conversation may."""
    slips = {
        ("strong", "question 1"): "so it ends<|im_end|>",
        ("weak", "question 2"): "<|pad|> it is",
        ("strong", "question 3"): "n\0thing",
        ("weak", "question 4"): " \nso it begins",
    }
    asked = body["messages"][-1]["content"]
    return slips.get((body["model"], asked), f"{body['model']} says so")


def test_answers_that_no_row_can_hold_are_set_apart(made, chat_server, small_tokenizer, capfd):
    chat_server.say = slipped
    more = {"id": "c6", "messages": [user("what does <|im_start|> mean?")]}
    with (made.folder / "prompts.jsonl").open("a") as file:
        file.write(json.dumps(more) + "\n")
    result = made("name=pairs")
    assert result["steps"]["pairs"]["removed"] == {
        "an answer holds the text of the special token <|im_end|>": 1,
        "an answer holds the text of the special token <|pad|>": 1,
        "an answer has a NUL character": 1,
        "an answer begins with a line break": 1,
        "a message holds the text of the special token <|im_start|>": 1,
    }
    assert [row["id"] for row in made.rows(result)] == ["c0", "c5"]
    assert main([*TOKENIZE, f"tokenizer.source={small_tokenizer}"]) == 0
    written = json.loads(capfd.readouterr().out)["splits"]["train"]
    assert (written["pairs"], written["malformed"], written["underivable"]) == (2, {}, {})


def test_without_any_tokenizer_the_tokens_are_those_of_our_templates(made, chat_server):
    chat_server.say = slipped
    nothing_counts = ["pipeline.length_control.max_difference=null"]
    result = made(*nothing_counts, "pipeline.length_control.tokenizer=null")
    assert result["lengths"]["unit"] == "characters"
    assert [row["id"] for row in made.rows(result)] == ["c0", "c5"]


def test_people_read_what_each_step_removed(made, chat_server, capfd):
    chat_server.say = lambda body: (
        "the same" if body["messages"][-1]["content"] == "question 3" else body["model"]
    )
    made("name=pairs")
    assert main([*made.arguments, "name=pairs"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert "5" in said[1]
    assert said[1].startswith("pairs ")
    assert said[1].endswith("chosen and rejected are the same: 1")
    assert "corpus pairs: 5 pairs of 6 prompts" in said


def test_another_filter_asks_nothing_anew(made, chat_server):
    made()
    asked = len(chat_server.asked)
    assert asked == 12
    result = made("pipeline.length_control.max_difference=1", status=2)
    assert "the step length_control removed 6 of 6" in result
    assert made("pipeline.length_control.max_difference=2")["pairs"] == 6
    assert len(chat_server.asked) == asked


def test_length_control_counts_and_shows_what_it_removes(made, chat_server):
    long = WORDS * 9
    chat_server.say = lambda body: (
        long
        if body["model"] == "strong"
        and body["messages"][-1]["content"] in ("question 1", "question 4")
        else f"{body['model']} is brief"
    )
    result = made()
    assert result["steps"]["length_control"] == {
        "in": 6,
        "out": 4,
        "removed": {"the chosen answer is longer by more than 100 tokens": 2},
    }
    report = json.loads((made.path(result) / "report.json").read_text())
    assert [sample["id"] for sample in report["samples"]] == ["c1", "c4"]
    assert report["samples"][0]["text"].startswith("one two three")
    only_others = made("pipeline.length_control.sources=[other]")
    assert only_others["pairs"] == 6


def test_what_cannot_be_a_pair_is_counted(made, chat_server):
    def say(body):
        asked = body["messages"][-1]["content"]
        if asked == "question 0":
            return "the same"
        if asked == "question 1" and body["model"] == "strong":
            return ""
        if asked == "question 2" and body["model"] == "strong":
            choice = {"message": {"content": "cut of"}, "finish_reason": "length"}
            return 200, {"choices": [choice]}
        return f"{body['model']} says so"

    chat_server.say = say
    result = made()
    assert result["steps"]["pairs"]["removed"] == {
        "chosen and rejected are the same": 1,
        "an answer is empty": 1,
        "the chosen answer was cut at its limit": 1,
    }
    assert [row["id"] for row in made.rows(result)] == ["c3", "c4", "c5"]


def test_conversations_that_ask_nothing_are_counted(made, tmp_path):
    more = [
        {"id": "again", "messages": [user("question 1"), said("silver")]},
        {"id": "mute", "messages": [{"role": "system", "content": "s"}, said("hello")]},
        {"id": "broken", "messages": [{"role": "king", "content": "?"}]},
        {"id": "long", "messages": [user("hello"), said("hi"), user("and you?"), said("fine")]},
    ]
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in more))
    assert "malformed" in made(status=2)
    result = made("max_error_rate=0.2")
    assert result["left_out"] == {"no_user_turn": 1, "duplicate_prompts": 1, "over_limit": 0}
    assert result["malformed"] == 1
    assert "king" in (made.path(result) / "errors.jsonl").read_text()
    last = made.rows(result)[-1]
    assert [turn["content"] for turn in last["chosen"]] == [
        *("hello", "hi", "and you?"),
        "strong on and you?",
    ]


@pytest.mark.parametrize(
    "pipeline", [["pipeline=delta_learning"], ["pipeline=verified", "pipeline.reference=id"]]
)
def test_a_conversation_that_is_too_long_is_counted(made, tmp_path, pipeline):
    with (tmp_path / "prompts.jsonl").open("a") as file:
        file.write(json.dumps({"id": "c6", "messages": [user("why? " * 99)]}) + "\n")
    refused = made(*pipeline, "max_document_bytes=300", status=2)
    assert "prompts.jsonl:7: the turns have 495 bytes, more than max_document" in refused
    assert "1 of 7 documents are malformed" in refused


def test_a_limit_draws_and_a_larger_one_draws_more(made):
    few, more = made("limit=2"), made("limit=4")
    assert few["left_out"]["over_limit"] == 4
    assert {r["id"] for r in made.rows(few)} < {r["id"] for r in made.rows(more)}
    ids = [row["id"] for row in made.rows(more)]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["weak.engine.model=strong"], "weak: the same model as strong (strong)"),
        (["strong.engine.model=null"], "strong.engine.model: missing"),
        (["strong.checkpoint=c"], "strong.checkpoint=c: a chat endpoint has its own"),
        (["strong.temperature=-1"], "strong.temperature=-1.0: expected 0"),
        (["strong.max_new_tokens=0"], "strong.max_new_tokens=0: expected"),
        (["strong.top_k=few"], "strong.top_k=few: expected a whole number"),
        (["pipeline.length_control=null"], "pipeline.length_control=None: expected settings"),
        (["pipeline=judged_pairs", "pipeline.responses=4.5"], "pipeline.responses=4.5: expected"),
        (["pipeline=judged_pairs", "pipeline.aspects=one"], "pipeline.aspects=one: expected a li"),
        (["pipeline=multi_turn", "pipeline.kinds.repeat=x"], "pipeline.kinds.repeat=x: expected"),
        (["pipeline=verified", "pipeline.verifier=maths"], "pipeline.verifier: found maths, exp"),
        (["pipeline=delta"], "pipeline=delta: expected one of delta_learning, judged_pairs, mul"),
        (["strong.engine.retry=1"], "strong.engine.retry: no such key in olmoflow synthesize"),
        (["pipeline.drop_unfinished=all"], "pipeline.drop_unfinished=all: expected chosen"),
        (["conversations=nowhere"], "conversations=nowhere: no such path"),
        (["limit=0"], "limit=0: expected"),
        (["strong.engine.api_key_env=NO_KEY"], "api_key_env=NO_KEY: the environment has no such"),
        (
            ["pipeline=judged_pairs", "pipeline.instruction=nothing"],
            "pipeline.instruction=nothing: No such file or directory; expected one of aspects",
        ),
        (["pipeline=judged_pairs", "pipeline.from_weak=5"], "pipeline.from_weak=5: expected"),
        (["pipeline=multi_turn", "+pipeline.kinds.sing=1"], "pipeline.kinds.sing: no such kind"),
    ],
)
def test_mistakes_are_one_line(made, arguments, expected):
    error = made(*arguments, status=2)
    assert expected in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pipeline=documents"], "pipeline=documents: expected one of delta_learning"),
        ([], "strong.checkpoint: missing"),
        (["engine@strong.engine=openai"], "strong.engine.model: missing"),
        (["strong.checkpoint=nothing"], "strong.checkpoint=nothing: no such path"),
    ],
)
def test_what_is_missing_is_named(arguments, expected, capfd):
    assert main(["synthesize", "conversations=prompts.jsonl", *arguments]) == 2
    assert expected in capfd.readouterr().err


def test_help_lists_the_pipelines_of_its_command(capfd):
    assert main(["synthesize", "--help"]) == 0
    ours = capfd.readouterr().out
    assert "delta_learning*, judged_pairs, multi_turn, rewritten, verified\n" in ours
    assert "engine@strong.engine  hf, native*, openai, vllm\n" in ours
    assert main(["curate", "--help"]) == 0
    theirs = capfd.readouterr().out
    assert "documents, " in theirs
    assert "judged_pairs" not in theirs


def test_another_wording_is_another_work(made, chat_server, tmp_path):
    chat_server.say = lambda body: (
        f"Overall: {len(body['messages'][-1]['content']) % 10 + 1}"
        if body["model"] == "judge"
        else f"{body['model']} on it" * (1 + body["seed"] % 2)
    )
    told = tmp_path / "told.txt"
    settings = ["pipeline=judged_pairs", f"pipeline.instruction={told}"]
    settings += ["pipeline.aspects=[overall]", "pipeline.length_control.max_difference=null"]
    paths = []
    for wording in ("Judge $answer to $conversation", "Mark $answer to $conversation"):
        told.write_text(wording)
        paths.append(made(*settings)["path"])
    assert paths[0] != paths[1]
    told.write_text("Judge $answer")
    assert "has the blanks $answer, expected" in made(*settings, status=2)


def test_curate_says_whose_pipeline_it_is(capfd):
    assert main(["curate", "pipeline=delta_learning"]) == 2
    assert "belongs to olmoflow synthesize" in capfd.readouterr().err


def test_an_endpoint_that_is_gone_is_one_line_and_the_work_goes_on_later(made, chat_server):
    left = [9]

    def say(body):
        left[0] -= 1
        return (401, {"error": {"message": "no credit"}}) if left[0] < 0 else body["model"]

    chat_server.say = say
    error = made("weak.engine.concurrency=1", status=2)
    assert error.startswith("olmoflow: weak: engine.url=")
    assert "no credit" in error
    asked = len(chat_server.asked)
    left[0] = 99
    assert made("weak.engine.concurrency=1")["pairs"] == 6
    assert len(chat_server.asked) - asked == 3


def test_questions_without_an_answer_stop_the_run_when_they_are_many(made, chat_server):
    chat_server.say = lambda body: (
        (400, {"error": {"message": "not this one"}})
        if body["messages"][-1]["content"] == "question 3"
        else body["model"]
    )
    error = made(status=2)
    assert "strong: 1 of 6 questions have no answer, more than max_unanswered" in error
    result = made("max_unanswered=0.2")
    assert result["steps"]["answers"]["removed"] == {"no answer from strong": 1}
    report = json.loads((made.path(result) / "report.json").read_text())
    assert report["samples"][0]["text"] == "status 400: not this one"


def kept_in(rollouts):
    """Answers of runs that have not ended."""
    return sum(file.read_text().count("\n") for file in rollouts.rglob("*.partial.jsonl"))


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    made, chat_server, tmp_path, monkeypatch
):
    killed = threading.Event()

    def say(body):
        if len(chat_server.asked) > 4:  # the run does not end before it is killed
            killed.wait(600)
        return f"{body['model']} {hash_of(body)}"

    chat_server.say = say
    command = [sys.executable, "-m", "olmoflow", *made.arguments]
    process = subprocess.Popen(
        [*command, "strong.engine.concurrency=1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    rollouts = tmp_path / "artifacts" / "rollouts"
    while len(chat_server.asked) < 5 or kept_in(rollouts) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed.set()
    kept = kept_in(rollouts)
    assert kept == 4
    (partial,) = rollouts.rglob("answers.partial.jsonl")
    with partial.open("a") as file:
        file.write('{"key": "torn')
    asked = len(chat_server.asked)
    result = made("strong.engine.concurrency=1")
    assert len(chat_server.asked) - asked == 12 - kept
    data = (made.path(result) / "train" / "preferences-00000.jsonl.zst").read_bytes()
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "elsewhere"))
    again = made()
    assert (made.path(again) / "train" / "preferences-00000.jsonl.zst").read_bytes() == data


def hash_of(body):
    return sum(map(ord, json.dumps(body["messages"]))) * body["seed"] % 9973
