"""Training of small byte-level BPEs.

The tokenizer has the form of Olmo 3's: cl100k's pre-tokenization, no normalization, no
begin-of-sequence token, special tokens after the merges. So it runs in the same compiled encoder.
It has the tokens of the chat templates from the start, so every model can be post-trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from olmoflow.errors import UserError
from olmoflow.tokens.encoder import CL100K_PATTERN
from olmoflow.tokens.tokenizer import EOS, FUNCTIONS, PAD, TURNS, Tokenizer

# What a model says of functions is text to who reads it, so decoding does not skip those.
_SPECIALS = {**dict.fromkeys(TURNS, True), **dict.fromkeys(FUNCTIONS, False), EOS: True, PAD: True}
_SMALLEST = 256 + len(_SPECIALS)
# The trainer takes room for all of them beforehand, and ends the process where there is none.
_LARGEST = 1 << 22


def train_bpe(
    texts: Iterable[str],
    vocab_size: int,
    *,
    max_bytes: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tokenizer:
    """Train a byte-level BPE; the same texts give the same tokenizer.

    Args:
        texts: The corpus.
        vocab_size: Tokens in all: 256 bytes, merges, and eight tokens of which the last two are
            ``<|endoftext|>`` and ``<|pad|>``.
        max_bytes: Stop reading after this much UTF-8; None reads all.
        progress: Called with the bytes read so far.

    Raises:
        UserError: So many tokens cannot be, or the texts have too few distinct pairs for them.
    """
    if not _SMALLEST <= vocab_size <= _LARGEST:
        raise UserError(f"vocab_size={vocab_size}: expected {_SMALLEST} to {_LARGEST} tokens")
    backend = byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(_SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(_limited(texts, max_bytes, progress), trainer)
    found = backend.get_vocab_size() + len(_SPECIALS)
    if found != vocab_size:
        raise UserError(
            f"vocab_size={vocab_size}: the corpus has pairs for only {found} tokens; "
            "take a smaller vocabulary or a larger corpus"
        )
    backend.add_tokens(
        [AddedToken(text, special=special, normalized=False) for text, special in _SPECIALS.items()]
    )
    return Tokenizer(backend, special_config(), name=f"BPE of {vocab_size} tokens")


def byte_level(model: models.BPE) -> Backend:
    """A tokenizer around a byte-level BPE, with cl100k's pre-tokenization."""
    backend = Backend(model)
    split = pre_tokenizers.Split(Regex(CL100K_PATTERN), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    backend.decoder = decoders.ByteLevel()
    return backend


def special_config(max_length: int | None = None) -> dict[str, object]:
    """What ``tokenizer_config.json`` says of a tokenizer made here."""
    config: dict[str, object] = {
        "bos_token": None,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
    }
    return config if max_length is None else {**config, "model_max_length": max_length}


def _limited(
    texts: Iterable[str], max_bytes: int | None, progress: Callable[[int], None] | None
) -> Iterator[str]:
    read = 0
    for text in texts:
        if max_bytes is not None and read >= max_bytes:
            return
        read += len(text.encode())
        yield text
        if progress is not None:
            progress(read)
