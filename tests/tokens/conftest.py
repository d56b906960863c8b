"""Real text, a tokenizer trained on it and shards of it, made once for all tests of the room."""

import ast
import inspect
import json
import textwrap
from types import SimpleNamespace

import pytest

from olmoflow.tokens.bpe import train_bpe
from olmoflow.tokens.shards import write_shards


@pytest.fixture(scope="session")
def texts():
    """About 0.4 MB: the sources of two standard modules, cut into documents, and some Unicode."""
    parts = []
    for module in (ast, textwrap, inspect, json):
        source = inspect.getsource(module)
        parts += [source[i : i + 1500] for i in range(0, len(source), 1500)]
    parts += ["Straße, naïve café — 東京都 🎉🎉", "ไทย العربية हिन्दी", "\r\n \t\n x", "1234567 890"]
    return parts


@pytest.fixture(scope="session")
def room(tmp_path_factory, texts):
    """Paths ``corpus`` (a folder), ``tokenizer`` and ``shards``, of small chunks."""
    folder = tmp_path_factory.mktemp("room")
    corpus = folder / "corpus"
    corpus.mkdir()
    half = len(texts) // 2
    for name, part in (("a", texts[:half]), ("b", texts[half:])):
        rows = [json.dumps({"id": f"{name}{i}", "text": t}) for i, t in enumerate(part)]
        (corpus / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    tokenizer = train_bpe(texts, 600)
    tokenizer.save(folder / "tokenizer")
    write_shards(corpus, folder / "tokenizer", folder / "shards", num_workers=1, chunk_tokens=9000)
    return SimpleNamespace(
        corpus=corpus, tokenizer=folder / "tokenizer", shards=folder / "shards", opened=tokenizer
    )
