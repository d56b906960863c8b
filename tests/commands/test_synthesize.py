"""Pairs from conversations, with models behind endpoints and models of our own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard

from olmoflow.commands.main import main
from olmoflow.tokens.bpe import train_bpe

WORDS = "one two three four five six seven eight nine ten and so on; "


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_bpe([WORDS * 9], 290).save(folder)
    return folder


@pytest.fixture
def made(tmp_path, monkeypatch, capfd, chat_server, tokenizer):
    """``made(…)`` synthesizes with two endpoints: its result, or with a status the error."""
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    conversations = [
        {"id": f"c{n}", "source": "chat", "messages": [user(f"question {n}"), said("gold")]}
        for n in range(6)
    ]
    write(tmp_path / "prompts.jsonl", conversations)

    def run(*arguments, status=0):
        capfd.readouterr()
        assert main([*endpoints(chat_server, tokenizer), *arguments, "output=json"]) == status
        written = capfd.readouterr()
        return json.loads(written.out) if status == 0 else written.err.strip()

    return run


def endpoints(server, tokenizer):
    return [
        "synthesize",
        "conversations=prompts.jsonl",
        f"pipeline.length_control.tokenizer={tokenizer}",
        "runtime.progress=false",
        *(f"engine@{role}.engine=openai" for role in ("strong", "weak")),
        *(f"{role}.engine.url={server.url}" for role in ("strong", "weak", "judge")),
        *(f"{role}.engine.model={role}" for role in ("strong", "weak", "judge")),
        *(f"{role}.engine.backoff=0.01" for role in ("strong", "weak", "judge")),
    ]


def user(content):
    return {"role": "user", "content": content}


def said(content):
    return {"role": "assistant", "content": content}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(result):
    found = []
    for path in sorted((io_path(result) / "train").iterdir()):
        with zstandard.open(path, "rt", encoding="utf-8") as file:
            found += [json.loads(line) for line in file]
    return found


def io_path(result):
    return Path(result["path"])


def test_strong_is_chosen_and_weak_rejected(made):
    result = made("name=pairs")
    assert result["pairs"] == 6
    assert rows(result)[2] == {
        "id": "c2",
        "source": "chat",
        "chosen": [user("question 2"), said("strong on question 2")],
        "rejected": [user("question 2"), said("weak on question 2")],
        "chosen_model": "strong",
        "rejected_model": "weak",
        "chosen_tokens": 19,
        "rejected_tokens": 17,
    }
    assert (io_path(result) / "report.html").is_file()
    assert result["lengths"]["difference"]["mean"] == 2.0


def test_the_pairs_are_what_tokenize_reads(made):
    from olmoflow.documents import Intake
    from olmoflow.tokens.chat.conversation import read_preferences

    result = made()
    intake = Intake()
    found = list(read_preferences(io_path(result) / "train", intake))
    assert [each.id for each in found] == [f"c{n}" for n in range(6)]
    assert not intake.malformed


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
    report = json.loads((io_path(result) / "report.json").read_text())
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
    assert [row["id"] for row in rows(result)] == ["c3", "c4", "c5"]


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
    assert "king" in (io_path(result) / "errors.jsonl").read_text()
    last = rows(result)[-1]
    assert [turn["content"] for turn in last["chosen"]] == [
        *("hello", "hi", "and you?"),
        "strong on and you?",
    ]


def test_a_limit_draws_and_a_larger_one_draws_more(made):
    few, more = made("limit=2"), made("limit=4")
    assert few["left_out"]["over_limit"] == 4
    assert {r["id"] for r in rows(few)} < {r["id"] for r in rows(more)}
    ids = [row["id"] for row in rows(more)]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["weak.engine.model=strong"], "weak: the same model as strong (strong)"),
        (["strong.engine.model=null"], "strong.engine.model: missing"),
        (["strong.checkpoint=c"], "strong.checkpoint=c: a chat endpoint has its own"),
        (["strong.temperature=-1"], "strong.temperature=-1.0: expected 0"),
        (["strong.max_new_tokens=0"], "strong.max_new_tokens=0: expected"),
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
    assert "strong: 1 of 6 questions have no answer, more than max_error_rate" in error.replace(
        "max_unanswered", "max_error_rate"
    )
    result = made("max_unanswered=0.2")
    assert result["steps"]["answers"]["removed"] == {"no answer from strong": 1}
    report = json.loads((io_path(result) / "report.json").read_text())
    assert report["samples"][0]["text"] == "status 400: not this one"


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    made, chat_server, tokenizer, tmp_path
):
    chat_server.say = lambda body: time.sleep(0.05) or f"{body['model']} {hash_of(body)}"
    command = [sys.executable, "-m", "olmoflow", *endpoints(chat_server, tokenizer)]
    process = subprocess.Popen(
        [*command, "strong.engine.concurrency=1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    while len(chat_server.asked) < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (partial,) = (tmp_path / "artifacts" / "rollouts").rglob("answers.partial.jsonl")
    kept = partial.read_text().count("\n")
    assert kept >= 3
    with partial.open("a") as file:
        file.write('{"key": "torn')
    asked = len(chat_server.asked)
    result = made("strong.engine.concurrency=1")
    assert len(chat_server.asked) - asked == 12 - kept
    data = (io_path(result) / "train" / "preferences-00000.jsonl.zst").read_bytes()
    os.environ["OLMOFLOW_HOME"] = str(tmp_path / "elsewhere")
    again = made()
    assert (io_path(again) / "train" / "preferences-00000.jsonl.zst").read_bytes() == data


def hash_of(body):
    return sum(map(ord, json.dumps(body["messages"]))) * body["seed"] % 9973


def pooled(server):
    """A pool of four models behind one server."""
    more = [(side, name) for side, name in (("strong", "larger"), ("weak", "smaller"))]
    settings = []
    for side, name in more:
        node = f"pool.{side}.{name}"
        settings += [f"+engine@{node}.engine=openai", f"{node}.engine.url={server.url}"]
        settings += [f"{node}.engine.model={name}"]
    return settings


def test_a_judge_takes_best_and_worst_of_a_pool(made, chat_server):
    worth = {"strong": 9, "larger": 10, "weak": 3, "smaller": 2}

    def say(body):
        if body["model"] != "judge":
            return f"{body['model']} says so"
        text = body["messages"][-1]["content"]
        (name,) = [name for name in worth if f"{name} says so" in text]
        if "question 5" in text:
            return "Who am I to judge?"
        return f"Well.\n**Overall:** {worth[name]}/10"

    chat_server.say = say
    settings = ["pipeline=judged_pairs", "pipeline.instruction=overall", *pooled(chat_server)]
    result = made(*settings, "pipeline.aspects=[overall]")
    assert result["steps"]["judge"]["removed"] == {"no score in what the judge says": 1}
    first = rows(result)[0]
    assert (first["chosen_model"], first["rejected_model"]) == ("larger", "smaller")
    assert (first["chosen_score"], first["rejected_score"]) == (10.0, 2.0)
    assert sorted(first["metadata"]["pool"]) == ["larger", "smaller", "strong", "weak"]
    assert {"overall": 9.0} in first["metadata"]["scores"]
    assert result["pairs"] == 5


def test_a_model_in_both_pools_is_refused(made, chat_server):
    again = pooled(chat_server)[-3:]
    again[-1] = "pool.weak.smaller.engine.model=strong"
    error = made("pipeline=judged_pairs", *again, status=2)
    assert "pool.weak.smaller: the same model as strong" in error


def test_only_the_last_turn_differs_after_several(made, chat_server):
    result = made("pipeline=multi_turn")
    for row in rows(result):
        assert row["chosen"][:-1] == row["rejected"][:-1]
        assert [turn["role"] for turn in row["chosen"]] == ["user", "assistant"] * 2
        assert row["metadata"]["context"] in ("self_talk", "related", "paraphrase", "repeat")
        assert {"strong": True, "weak": False}[row["chosen_model"]]


def test_a_verifier_tells_right_from_wrong(made, chat_server, tmp_path):
    write(
        tmp_path / "sums.jsonl",
        [{"id": f"s{n}", "messages": [user(f"{n}+1=")], "answer": n + 1} for n in range(4)]
        + [{"id": "open", "messages": [user("why?")]}],
    )

    def say(body):
        n = int(body["messages"][-1]["content"].partition("+")[0])
        right = body["seed"] % 2 and n != 3
        return f"I say #### {n + (1 if right else 5)}"

    chat_server.say = say
    settings = ["pipeline=verified", "pipeline.verifier=gsm8k", "pipeline.reference=answer"]
    result = made(*settings, "conversations=sums.jsonl", "max_error_rate=0.5", "name=sums")
    assert result["malformed"] == 1
    assert result["steps"]["verify"]["removed"]["no answer is right"] >= 1
    for row in rows(result):
        n = int(row["id"][1:])
        assert row["chosen"][-1]["content"] == f"I say #### {n + 1}"
        assert row["rejected"][-1]["content"] == f"I say #### {n + 5}"
        assert (row["chosen_score"], row["rejected_score"]) == (1.0, 0.0)


def test_filters_of_curation_look_at_the_chosen_answer(made, chat_server):
    chat_server.say = lambda body: (
        "bad word"
        if body["messages"][-1]["content"] == f"question {BAD[body['model']]}"
        else body["model"]
    )
    banned = (
        "{name: regex_text_filter, label: words, regex_string: 'bad word', remove_matches: true}"
    )
    result = made(f"pipeline.filters=[{banned}]")
    assert result["steps"]["words"]["removed"] == {"words": 1}
    assert [row["id"] for row in rows(result)] == ["c0", "c1", "c3", "c4", "c5"]
    assert "pipeline.filters[0]" in made("pipeline.filters=[{name: no_such}]", status=2)
    assert "whole corpus" in made("pipeline.filters=[{name: exact_dedup}]", status=2)


BAD = {"strong": 2, "weak": 4}


def test_what_olmo_leaves_out_goes_by_itself(made, chat_server):
    chosen = {
        "question 0": "<think>and on and on",
        "question 1": "I am Claude, made by Anthropic.",
        "question 2": "The same sentence is said here again. " * 12,
        "question 3": "你好，世界。",
    }
    chat_server.say = lambda body: (
        chosen.get(body["messages"][-1]["content"], "fine")
        if body["model"] == "strong"
        else "<think>I am Claude and"
    )
    result = made("pipeline.length_control.max_difference=null")
    removed = {name: sum(step["removed"].values()) for name, step in result["steps"].items()}
    assert removed == {
        **{"answers": 0, "pairs": 0},
        **{"format": 1, "identity": 1, "repetition": 1, "chinese": 1},
    }
    assert [row["id"] for row in rows(result)] == ["c4", "c5"]
    assert "turns=chosen" in made(
        "pipeline.filters=[{name: identity_filter, turns: chosen}]", status=2
    )


@pytest.fixture
def models(tmp_path, tokenizer):
    """Two folders of small models that were never trained, with a chat template."""
    from tokenizers import AddedToken

    from olmoflow.model import Olmo3, Olmo3Config, initialise
    from olmoflow.model.hf import export_hf
    from olmoflow.tokens.tokenizer import load_tokenizer

    opened = load_tokenizer(tokenizer)
    opened.backend.add_special_tokens(
        [AddedToken(token, special=True) for token in ("<|im_start|>", "<|im_end|>")]
    )
    opened.save(tmp_path / "tokenizer")
    config = Olmo3Config(
        vocab_size=304,
        d_model=32,
        n_layers=2,
        n_heads=2,
        n_kv_heads=2,
        ffn_hidden_size=64,
        sliding_window=16,
        max_sequence_length=256,
        init_std=0.3,
    )
    for seed, name in enumerate(("large", "small")):
        model = Olmo3(config)
        initialise(model, seed=seed)
        tensors = model.state_dict().items()
        export_hf(tensors, config, tmp_path / name, tokenizer=tmp_path / "tokenizer")
    return ["strong.checkpoint=large", "weak.checkpoint=small"]


def test_models_of_our_own_speak_through_a_template(made, models, tmp_path, capfd):
    def run(*more, status=0):
        settings = ["conversations=prompts.jsonl", "runtime.progress=false"]
        short = [f"{role}.max_new_tokens=12" for role in ("strong", "weak")]
        template = [f"{role}.template=think" for role in ("strong", "weak")]
        capfd.readouterr()
        arguments = [*models, *settings, *short, *template, "pipeline.filters=[]", *more]
        assert main(["synthesize", *arguments, "output=json"]) == status
        written = capfd.readouterr()
        return json.loads(written.out) if status == 0 else written.err

    result = run("pipeline.drop_unfinished=none")
    assert result["pairs"] == 6
    assert all(row["chosen"][-1]["content"].startswith("<think>") for row in rows(result))
    assert rows(result)[0]["chosen_model"] == "large"
    assert "same model as strong" in run("weak.checkpoint=large", status=2)
    assert "strong.template=no_such: expected one of" in run("strong.template=no_such", status=2)
