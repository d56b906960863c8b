"""A corpus written anew: from documents to what tokenize reads, cut, continued and counted."""

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

SENTENCE = "number {} of the sentences that say one two three four five six seven. "


def rows(result):
    files = sorted((Path(result["path"]) / "train").iterdir())
    read = (zstandard.open(file, "rt", encoding="utf-8") for file in files)
    return [json.loads(line) for file in read for line in file]


def text(number, sentences=4):
    return "\n\n".join(SENTENCE.format(f"{number}.{n}") * 2 for n in range(sentences))


@pytest.fixture
def rewritten(tmp_path, monkeypatch, capfd):
    """``rewritten(…)`` has ten documents written anew: the result, or with a status the error."""
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    documents = [{"id": f"d{n}", "source": "web", "text": text(n)} for n in range(10)]
    Path("web.jsonl").write_text("".join(json.dumps(each) + "\n" for each in documents))

    def run(*arguments, status=0):
        capfd.readouterr()
        assert main([*run.arguments, *arguments, "output=json"]) == status
        written = capfd.readouterr()
        return json.loads(written.out) if status == 0 else written.err.strip()

    run.arguments = [
        *("synthesize", "pipeline=rewritten", "corpus=web.jsonl", "runtime.progress=false"),
        *("pipeline.passages.max_tokens=null", "pipeline.passages.max_characters=400"),
        "pipeline.passages.min_characters=50",
    ]
    return run


@pytest.fixture
def by_endpoint(rewritten, chat_server):
    """The writer is the chat server."""
    chat_server.say = lambda body: f"What is it? {len(body['messages'][-1]['content'])}. " * 5
    rewritten.arguments += [
        *("engine@writer.engine=openai", f"writer.engine.url={chat_server.url}"),
        *("writer.engine.model=large", "writer.engine.backoff=0.01"),
    ]
    return rewritten


@pytest.fixture
def by_model(rewritten, models):
    """The writer is a model of ours, which was never trained and ends where it is cut."""
    rewritten.arguments += [
        *("writer.checkpoint=large", "writer.template=plain", "writer.max_new_tokens=24"),
        *("writer.engine.max_batch=1", "pipeline.keep_unfinished=true", "pipeline.min_share=0"),
        *("pipeline.instruction=short.txt", "pipeline.passages.max_characters=100"),
    ]
    Path("short.txt").write_text("In other words: $passage")
    return rewritten


def test_documents_say_what_they_were_made_of(by_endpoint):
    result = by_endpoint("name=questions")
    assert result["read"] == 10
    assert result["passages"] == result["documents"]["train"] == 20
    assert result["models"] == {"writer": "large"}
    first, second = rows(result)[:2]
    assert first["id"] == "d0/questions/1"
    assert second["metadata"] == {
        **{"document": "d0", "passage": 2, "passages": 2},
        **{"instruction": "questions", "model": "large"},
    }
    assert first["source"] == "web"
    assert (Path(result["path"]) / "report.html").is_file()


def test_tokenize_and_curate_take_them(by_endpoint, capfd):
    by_endpoint("name=questions")
    capfd.readouterr()
    settings = ["runtime.progress=false", "output=json"]
    assert main(["curate", "pipeline=documents", "source=questions", "name=c", *settings]) == 0
    assert sum(json.loads(capfd.readouterr().out)["documents"].values()) == 20
    arguments = ["corpus=questions", "tokenizer.vocab_size=270", "name=s"]
    assert main(["tokenize", *arguments, *settings]) == 0
    assert json.loads(capfd.readouterr().out)["splits"]["train"]["documents"] == 20


def test_every_passage_is_counted_once(by_endpoint, chat_server):
    more = [
        {"id": "short", "text": "too short"},
        {"id": "again", "text": text(3)},
        {"id": "none"},
    ]
    with Path("web.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in more))

    def say(body):
        asked = body["messages"][-1]["content"]
        if "number 1.0" in asked:
            return "I'm sorry, but I can't help with that. I am only a small model, alas."
        if "number 2.0" in asked:
            return asked.partition("=== Passage ===")[2].partition("===")[0]
        if "number 4.0" in asked:
            return "brief"
        if "number 5.0" in asked:
            return ""
        if "number 7.0" in asked:
            return "Something that is said here is no word:<|im_start|>"
        if "number 6.0" in asked:
            said = {"message": {"content": "cut of"}, "finish_reason": "length"}
            return 200, {"choices": [said]}
        return "Something else is said here, in words of one's own."

    chat_server.say = say
    assert "no text, expected a string" in by_endpoint(status=2)
    result = by_endpoint("max_error_rate=0.2")
    assert result["read"] == 12
    assert result["malformed"] == 1
    assert result["left_out"] == {"short_passages": 1, "duplicate_passages": 2, "over_limit": 0}
    assert result["steps"]["rewrites"] == {
        "in": 20,
        "out": 14,
        "removed": {
            "the writer refuses": 1,
            "more than 0.8 of it is the passage": 1,
            "shorter than 0.1 of the passage": 1,
            "the answer is empty": 1,
            "the answer holds the text of the special token <|im_start|>": 1,
            "the answer was cut at its limit": 1,
        },
    }
    assert result["documents"]["train"] == len(rows(result)) == 14
    report = json.loads((Path(result["path"]) / "report.json").read_text())
    assert {sample["id"] for sample in report["samples"]} >= {"d1#1", "d2#1"}


def test_a_document_that_is_too_long_is_counted(by_endpoint):
    with Path("web.jsonl").open("a") as file:
        file.write(json.dumps({"id": "long", "text": text(11) * 9}) + "\n")
    refused = by_endpoint("max_document_bytes=2e3", status=2)
    assert "web.jsonl:11: the text has 5,310 bytes, more than max_document_bytes=2,000" in refused
    result = by_endpoint("max_document_bytes=2e3", "max_error_rate=0.2")
    assert (result["read"], result["malformed"]) == (10, 1)
    assert by_endpoint()["read"] == 11


def test_people_read_the_same(by_endpoint, capfd):
    by_endpoint("name=q", "limit=12")
    assert main([*by_endpoint.arguments, "name=q", "limit=12"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert "left out: over limit 8" in said
    assert "corpus q: 12 documents of 12 passages of 10 documents" in said


def test_other_filters_ask_nothing_anew(by_endpoint, chat_server):
    by_endpoint()
    asked = len(chat_server.asked)
    assert asked == 20
    assert "no document is left; the step rewrites removed 20 of 20" in by_endpoint(
        "pipeline.min_share=2", status=2
    )
    assert by_endpoint("pipeline.passage_first=true")["documents"]["train"] == 20
    assert len(chat_server.asked) == asked


def test_portions_make_the_same_corpus(by_endpoint, monkeypatch):
    whole = by_endpoint("name=whole")
    monkeypatch.setattr("olmoflow.commands.synthesize.rewritten.PORTION", 7)
    parts = by_endpoint("name=parts", "max_unanswered=0.02")
    assert len(parts["rollouts"]) == 3
    assert rows(parts) == rows(whole)
    assert parts["steps"] == whole["steps"]


def test_a_model_of_ours_writes_through_a_template(by_model):
    result = by_model("pipeline.passages.max_characters=null", "pipeline.passages.max_tokens=60")
    assert result["passages"] == 40
    # Never trained, it says special tokens as well.
    slips = result["steps"]["rewrites"]["removed"]
    assert all("holds the text of the special token" in reason for reason in slips)
    assert result["documents"]["train"] == len(rows(result)) == 40 - sum(slips.values()) > 20
    assert rows(result)[0]["metadata"]["instruction"] == "short"


# `olmoflow …` that never comes to its last answers: it does not end before it is killed.
HELD = """
import time
from itertools import islice
from olmoflow.commands.main import main
from olmoflow.inference.chat.templated import TemplatedSpeaker
answer = TemplatedSpeaker.answer
def some(self, questions):
    yield from islice(answer(self, questions), 9)
    time.sleep(600)
TemplatedSpeaker.answer = some
main()
"""


def test_a_killed_run_ends_as_if_it_had_not_been(by_model, tmp_path, monkeypatch):
    command = [sys.executable, "-c", HELD, *by_model.arguments]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    rollouts = tmp_path / "artifacts" / "rollouts"
    while not (kept := sum(f.read_text().count("\n") for f in rollouts.rglob("*.partial.jsonl"))):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(rollouts.rglob("answers.jsonl.zst"))
    resumed = by_model()
    assert 0 < kept < resumed["passages"]
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "elsewhere"))
    again = by_model()
    files = [Path(r["path"]) / "train" / "00000.jsonl.zst" for r in (resumed, again)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["conversations=c.jsonl"], "conversations=c.jsonl: pipeline=rewritten takes no"),
        (["corpus=null"], "corpus: missing; give corpus=…"),
        (["corpus=nowhere"], "corpus=nowhere: no such path"),
        (["pipeline=delta_learning"], "corpus=web.jsonl: pipeline=delta_learning takes no corpus"),
        (["pipeline.instruction=poem"], "expected one of code, math, questions, textbook"),
        (["pipeline.instruction=typo.txt"], "typo.txt: line 1: $pasage is no blank, expected"),
        (["pipeline.passages.max_characters=null"], "pipeline.passages.max_tokens: missing"),
        (["pipeline.passages.max_tokens=99"], "pipeline.passages.tokenizer: missing"),
        (["pipeline.passages.min_characters=9999"], "none of 10 documents has a passage of"),
        (["limit=0"], "limit=0: expected a whole number"),
        (["writer.checkpoint=c"], "writer.checkpoint=c: a chat endpoint has its own"),
    ],
)
def test_mistakes_are_one_line(by_endpoint, arguments, expected):
    Path("typo.txt").write_text("Write about $pasage")
    kept = [a for a in by_endpoint.arguments if a.partition("=")[0] not in ("pipeline", "corpus")]
    if arguments[0].startswith("pipeline="):
        by_endpoint.arguments = [a for a in kept if not a.startswith("pipeline.")]
        by_endpoint.arguments += ["corpus=web.jsonl"]
    error = by_endpoint(*arguments, status=2)
    assert expected in error
    assert len(error.splitlines()) == 1
