"""Tokenizers: trained here, read from a folder or the Hub, or rebuilt from cl100k's ranks.

All are byte-level BPEs of the `tokenizers` library and are kept as the two files that
``AutoTokenizer`` reads: ``tokenizer.json`` and ``tokenizer_config.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as RustTokenizer

from olmoflow.errors import UserError

END_OF_TEXT, PAD = "<|endoftext|>", "<|pad|>"

# Where cl100k_base, and with it Olmo 3's tokenizer, cuts text before merging.
CL100K_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer with the ids that training and generation need.

    Attributes:
        rust: The `tokenizers` object.
        eos_id: Ends every document.
        pad_id: Fills rows; never a target.
        folder: Where its files lie.
    """

    rust: RustTokenizer
    eos_id: int
    pad_id: int | None
    folder: Path

    @property
    def vocab_size(self) -> int:
        """Ids are below this."""
        return max(self.rust.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        ids: list[int] = self.rust.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; special tokens are left out."""
        text: str = self.rust.decode(list(ids), skip_special_tokens=True)
        return text


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """Read a tokenizer from a Hugging Face folder.

    Raises:
        UserError: A file is missing, or the tokenizer names no end-of-text token.
    """
    folder = Path(folder)
    file, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not file.is_file():
        raise UserError(f"{file}: missing; expected a Hugging Face tokenizer folder")
    try:
        rust = RustTokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"{file}: no readable tokenizer ({error})") from error
    config = json.loads(settings.read_text()) if settings.is_file() else {}
    eos, pad = _name(config.get("eos_token")), _name(config.get("pad_token"))
    eos_id = rust.token_to_id(eos) if eos else None
    if eos_id is None:
        raise UserError(f"{settings}: eos_token={eos}: expected a token that ends documents")
    return Tokenizer(rust, eos_id, rust.token_to_id(pad) if pad else None, folder)


def train_bpe(texts: Iterable[str], folder: Path, vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE of exactly ``vocab_size`` tokens, specials included.

    Raises:
        UserError: The size is too small, or the text too short for it.
    """
    if vocab_size < 256 + 2:
        raise UserError(f"tokenizer.vocab_size={vocab_size}: expected at least 258")
    rust = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END_OF_TEXT, PAD],
        show_progress=False,
    )
    rust.train_from_iterator(texts, trainer)
    if rust.get_vocab_size() != vocab_size:
        raise UserError(
            f"tokenizer.vocab_size={vocab_size}: the corpus yields only {rust.get_vocab_size()} "
            "tokens; expected a smaller vocabulary or more text"
        )
    return save_tokenizer(rust, folder)


def save_tokenizer(rust: RustTokenizer, folder: Path) -> Tokenizer:
    """Write the two files and read them back."""
    folder.mkdir(parents=True, exist_ok=True)
    rust.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": PAD,
        "bos_token": None,
        "unk_token": None,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    return load_tokenizer(folder)


def _byte_level(model: models.BPE) -> RustTokenizer:
    rust = RustTokenizer(model)
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CL100K_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    rust.decoder = decoders.ByteLevel()
    return rust


def add_specials(rust: RustTokenizer, names: Sequence[str]) -> None:
    """Add special tokens in order, after the merges."""
    rust.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])


def byte_level_from_merges(vocab: dict[str, int], merges: list[tuple[str, str]]) -> RustTokenizer:
    """A tokenizer of this module's form from a vocabulary and its merges."""
    return _byte_level(models.BPE(vocab, merges, ignore_merges=True))


def _name(token: object) -> str | None:
    """A token's text; Hugging Face files give a string or an object with ``content``."""
    if isinstance(token, dict):
        return str(token["content"])
    return token if isinstance(token, str) else None
