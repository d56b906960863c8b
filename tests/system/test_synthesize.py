"""Pairs whose strong side speaks through a real chat endpoint, vLLM's on a CPU; and rewriting.

What the endpoint says greedily is what our own engine says behind the same template, so messages,
template and limits arrive as they are meant.
"""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import zstandard
from tokenizers import AddedToken

from olmoflow.commands.main import main
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.model.hf import export_hf
from olmoflow.tokens.bpe import train_bpe
from olmoflow.tokens.chat.template import load_template

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.system  # vLLM's environment is fetched, gigabytes of it

WORDS = "one two three four five six seven eight nine ten and so on; "
CONFIG = Olmo3Config(
    vocab_size=384,
    d_model=64,  # vLLM's CPU kernels have no heads narrower than 32
    n_layers=2,
    n_heads=2,
    n_kv_heads=2,
    ffn_hidden_size=128,
    sliding_window=32,
    max_sequence_length=256,
    init_std=0.2,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two untrained models with Olmo 3's template for Think, and prompts."""
    folder = tmp_path_factory.mktemp("synthesize")
    tokenizer = train_bpe([WORDS * 9], 290)
    frame = [t for t in ("<|im_start|>", "<|im_end|>") if tokenizer.special_id(t) is None]
    tokenizer.backend.add_special_tokens([AddedToken(t, special=True) for t in frame])
    tokenizer.config["chat_template"] = load_template("think").source
    tokenizer.save(folder / "tokenizer")
    for seed, name in enumerate(("large", "small")):
        model = Olmo3(CONFIG)
        initialise(model, seed=seed)
        tensors = model.state_dict().items()
        export_hf(tensors, CONFIG, folder / name, tokenizer=folder / "tokenizer")
    rows = [
        {"id": f"p{n}", "messages": [{"role": "user", "content": f"{n} two?"}]} for n in range(8)
    ]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_HOME", str(folder / "artifacts"))
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def url(home, new_port):
    """`./just vllm large`, as long as the tests run."""
    port = new_port()
    command = [str(ROOT / "just"), "vllm", str(home / "large"), f"port={port}", "dtype=float32"]
    process = subprocess.Popen(
        [*command, "--enforce-eager", "--max-num-seqs", "8"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1"},
        start_new_session=True,
    )
    said = []
    for line in process.stderr:
        said.append(line)
        if "is served at" in line:
            break
    else:
        raise AssertionError("".join(said))
    yield f"http://127.0.0.1:{port}/v1"
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=300)


def pairs(capfd, *arguments):
    capfd.readouterr()
    settings = [
        *("conversations=prompts.jsonl", "runtime.progress=false", "runtime.dtype=float32"),
        *("strong.temperature=0", "strong.max_new_tokens=24", "weak.max_new_tokens=24"),
        *("pipeline.filters=[]", "pipeline.drop_unfinished=none", "weak.checkpoint=small"),
    ]
    assert main(["synthesize", *settings, *arguments, "output=json"]) == 0
    result = json.loads(capfd.readouterr().out)
    path = Path(result["path"]) / "train" / "preferences-00000.jsonl.zst"
    with zstandard.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def plain(text):
    """What the server makes of a text: no special tokens, no character that is cut short."""
    return re.sub(r"<\|\w+\|>", "", text).rstrip("\ufffd")


def test_an_endpoint_says_what_our_engine_says(home, url, capfd):
    through = pairs(
        capfd,
        "engine@strong.engine=openai",
        f"strong.engine.url={url}",
        "strong.engine.model=large",
        "strong.engine.begun_with='<think>'",  # the server's template says it, the server does not
    )
    ours = pairs(capfd, "strong.checkpoint=large", "strong.template=think")
    # Of the eight, some hold a special token. The server leaves it out of its text, so that theirs
    # stay; ours are set apart.
    assert 4 < len(ours) <= len(through) <= 8
    theirs = {row["id"]: row for row in through}
    said = [plain(row["chosen"][-1]["content"]) for row in ours]
    assert [plain(theirs[row["id"]]["chosen"][-1]["content"]) for row in ours] == said
    assert len(set(said)) > 1
    assert all(len(text) > len("<think>") for text in said)
    assert [theirs[row["id"]]["rejected"] for row in ours] == [row["rejected"] for row in ours]


def test_vllms_engine_says_the_same(home, url, capfd):
    served = pairs(
        capfd,
        "engine@strong.engine=vllm",
        f"strong.engine.url={url.removesuffix('/v1')}",
        "strong.checkpoint=large",
    )
    ours = pairs(capfd, "strong.checkpoint=large")
    assert [row["chosen"] for row in served] == [row["chosen"] for row in ours]


def test_a_corpus_is_written_anew_alike(home, url, capfd):
    rows = [{"id": f"d{n}", "text": f"{n}. {WORDS * 3}"} for n in range(6)]
    (home / "web.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "again.txt").write_text("Again: $passage")
    settings = [
        *("pipeline=rewritten", "corpus=web.jsonl", "pipeline.instruction=again.txt"),
        *("pipeline.passages.max_tokens=60", "pipeline.passages.min_characters=20"),
        *("pipeline.keep_unfinished=true", "pipeline.min_share=0", "writer.temperature=0"),
        *("writer.checkpoint=large", "writer.template=plain", "writer.max_new_tokens=24"),
        *("runtime.progress=false", "runtime.dtype=float32", "output=json"),
    ]
    served = ["engine@writer.engine=vllm", f"writer.engine.url={url.removesuffix('/v1')}"]
    written = []
    for engine in ([], served):
        capfd.readouterr()
        assert main(["synthesize", *settings, *engine]) == 0
        path = Path(json.loads(capfd.readouterr().out)["path"]) / "train" / "00000.jsonl.zst"
        written.append(path.read_bytes())
    assert written[0] == written[1]
