"""Held-out bits per byte, beside two models that everyone has: gzip and a unigram model.

Bits per byte is the summed negative log-likelihood of all tokens, ends of documents included, over
ln 2, divided by the UTF-8 bytes of the text. Unlike a loss per token it can be compared between
tokenizers, and with a compressor: it is the size to which the model would compress the text.
Probabilities are over the tokenizer's ids, as wherever a model answers: rows that only pad the
embedding have no share in them.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from olmoflow.model import Olmo3
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.tokenizer import Tokenizer, load_tokenizer

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BitsPerByte:
    """A score over documents.

    Attributes:
        value: Bits per byte over all of them.
        stderr: Standard error over the documents (of the ratio of two sums); None: not defined.
        documents: How many.
    """

    value: float
    stderr: float | None
    documents: int


@dataclass(frozen=True)
class HeldOutScores:
    """Everything that is said of one held-out text.

    Attributes:
        model: Over all documents.
        by_source: Over the documents of each source.
        gzip: Each document compressed by itself, as it would come to a reader.
        gzip_stream: All documents as one file: gzip then looks back 32 kB, into other files of the
            same package too, many times further than a small model's window.
        unigram: From the training text's token frequencies.
    """

    model: BitsPerByte
    by_source: dict[str, BitsPerByte]
    gzip: float
    gzip_stream: float
    unigram: float


def score_heldout(
    model: Olmo3,
    shards: Path,
    *,
    sequence_length: int,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> HeldOutScores:
    """Score the held-out split of a shards folder.

    Args:
        model: In evaluation mode, on its device.
        shards: The folder that holds ``train/``, ``heldout/`` and ``tokenizer/``.
        sequence_length: Length of a window; each token is seen once, with at least half a window
            of context where there is one.
        batch_size: Windows at a time.
        progress: Called with (windows done, windows).
    """
    heldout = TokenShards.open(shards / "heldout")
    tokenizer = load_tokenizer(shards / "tokenizer")
    vocab_size = tokenizer.vocab_size
    nats = token_nats(model, heldout, sequence_length, vocab_size, batch_size, progress)
    starts = heldout.document_starts
    per_document = np.add.reduceat(nats, starts)
    sizes: NDArray[np.int64] = heldout.documents["bytes"].to_numpy()
    sources = np.array(heldout.documents["source"].to_pylist())
    texts = list(_texts(heldout, tokenizer))
    return HeldOutScores(
        model=_ratio(per_document, sizes),
        by_source={
            str(s): _ratio(per_document[sources == s], sizes[sources == s])
            for s in sorted(set(sources))
        },
        gzip=gzip_bits_per_byte(texts),
        gzip_stream=gzip_bits_per_byte([b"".join(texts)]),
        unigram=unigram_bits_per_byte(TokenShards.open(shards / "train"), heldout, vocab_size),
    )


@torch.inference_mode()
def token_nats(
    model: Olmo3,
    shards: TokenShards,
    sequence_length: int,
    vocab_size: int,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Negative log-likelihood of every token of the shards, in nats.

    Windows overlap by half; of each but the first only the second half is taken. The very first
    token has no context: it is charged the logarithm of the vocabulary.

    Args:
        model: In evaluation mode, on its device.
        shards: What is scored.
        sequence_length: Of a window, in tokens.
        vocab_size: Ids of tokens are below it; the model's further rows only pad its embedding.
        batch_size: Windows at a time.
        progress: Called with (windows done, windows).

    Returns:
        [tokens] float64.
    """
    total = len(shards)
    nats = np.empty(total, dtype=np.float64)
    nats[0] = math.log(vocab_size)
    device = model.embeddings.weight.device
    stride = max(1, sequence_length // 2)
    # Window i predicts (begin, end] and has not predicted anything up to `first` before.
    begins = list(range(0, max(1, total - 1 - sequence_length + stride), stride))
    for number in range(0, len(begins), batch_size):
        batch = begins[number : number + batch_size]
        for group in _equal_lengths(batch, total, sequence_length):
            tokens = torch.from_numpy(
                np.stack([shards.read(b, min(sequence_length + 1, total - b)) for b in group])
            ).to(device)
            logits = model(tokens[:, :-1])[..., :vocab_size]
            losses = cross_entropy(
                logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
            ).view(len(group), -1)
            for begin, row in zip(group, losses.double().cpu().numpy(), strict=True):
                skip = 0 if begin == 0 else sequence_length - stride
                nats[begin + 1 + skip : begin + 1 + len(row)] = row[skip:]
        if progress:
            progress(min(number + batch_size, len(begins)), len(begins))
    return nats


def gzip_bits_per_byte(texts: Sequence[bytes]) -> float:
    """Bits per byte of ``gzip -9``, each text by itself."""
    compressed = sum(len(gzip.compress(text, compresslevel=9, mtime=0)) for text in texts)
    return 8 * compressed / sum(map(len, texts))


def unigram_bits_per_byte(train: TokenShards, heldout: TokenShards, vocab_size: int) -> float:
    """Bits per byte of the training text's token frequencies, each count raised by one."""
    counts = _counts(train, vocab_size) + 1.0
    nats = -np.log(counts / counts.sum())
    total = float((_counts(heldout, vocab_size) * nats).sum())
    return total / math.log(2) / int(heldout.documents["bytes"].to_numpy().sum())


def _texts(shards: TokenShards, tokenizer: Tokenizer) -> list[bytes]:
    rows = range(len(shards.document_starts))
    return [tokenizer.decode(shards.document_tokens(row)[:-1].tolist()).encode() for row in rows]


def _counts(shards: TokenShards, vocab_size: int, block: int = 1 << 22) -> NDArray[np.int64]:
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(shards), block):
        tokens = shards.read(start, min(block, len(shards) - start))
        counts += np.bincount(tokens, minlength=vocab_size)
    return counts


def _ratio(nats: NDArray[np.float64], sizes: NDArray[np.int64]) -> BitsPerByte:
    """A ratio of sums and its standard error (Cochran, Sampling Techniques, section 6.4)."""
    bits, n = nats / math.log(2), len(nats)
    value = float(bits.sum() / sizes.sum())
    if n < 2:
        return BitsPerByte(value, None, n)
    residuals = bits - value * sizes
    stderr = math.sqrt(float((residuals**2).sum()) * n / (n - 1)) / float(sizes.sum())
    return BitsPerByte(value, stderr, n)


def _equal_lengths(begins: list[int], total: int, length: int) -> list[list[int]]:
    """The last window may be shorter: it goes by itself."""
    whole = [b for b in begins if b + length + 1 <= total]
    return [group for group in (whole, *([b] for b in begins if b not in whole)) if group]
