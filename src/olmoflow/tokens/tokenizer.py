"""Tokenizers: opened from a folder or the Hub, saved as Hugging Face files.

A tokenizer here is a ``tokenizers`` tokenizer, an end-of-document token and, where there is one, a
padding token. `load_tokenizer` reads ``tokenizer.json`` itself and never goes through
``AutoTokenizer``: transformers 5 opens some folders that declare a ``GPT2Tokenizer`` with GPT-2's
pre-tokenization instead of the one that their file states (allenai/open-instruct#1896). `save`
writes a class that makes ``AutoTokenizer`` keep to the file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from olmoflow.errors import UserError
from olmoflow.tokens.encoder import BatchEncoder, Encoded, byte_characters

EOS = "<|endoftext|>"
PAD = "<|pad|>"
TURNS = ("<|im_start|>", "<|im_end|>")
FUNCTIONS = ("<functions>", "</functions>", "<function_calls>", "</function_calls>")
TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
_HUB = "hf:"


class Tokenizer:
    """Text to token ids and back.

    Args:
        backend: What tokenizes.
        config: What ``tokenizer_config.json`` says; ``eos_token`` is required.
        name: Where it comes from, for messages.

    Attributes:
        eos_id: Ends every document.
        pad_id: Fills up batches; None if the tokenizer has none.
        bos_id: Begins a text; None unless the tokenizer itself puts one there.
        vocab_size: One more than the highest id.

    Raises:
        UserError: There is no end-of-document token.
    """

    def __init__(
        self, backend: tokenizers.Tokenizer, config: dict[str, Any], name: str = "tokenizer"
    ) -> None:
        self.backend = backend
        self.config = config
        self.name = name
        eos_id = self._special("eos_token")
        if eos_id is None:
            raise UserError(f"{name}: no eos_token in {CONFIG}; documents could not be told apart")
        self.eos_id = eos_id
        self.pad_id = self._special("pad_token")
        self.bos_id = self._first_special()
        self.vocab_size = max(backend.get_vocab(with_added_tokens=True).values()) + 1

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt; special tokens in it are recognised, none is added."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many prompts, on all cores."""
        found = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in found]

    def special_id(self, text: str) -> int | None:
        """The id of a special token; None of any other text."""
        return self._specials.get(text)

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Token ids of many texts, fast; the text of a special token stays text."""
        return self._encoder.encode(texts)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of token ids; incomplete UTF-8 becomes U+FFFD."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=skip_special_tokens)
        return text

    def token_sizes(self) -> NDArray[np.int64]:
        """UTF-8 bytes that each token stands for, int64 [vocab_size]; 0 for special tokens."""
        sizes = np.zeros(self.vocab_size, np.int64)
        byte_level = set(byte_characters())
        added = self.backend.get_added_tokens_decoder()
        for token, id_ in self.backend.get_vocab(with_added_tokens=True).items():
            if id_ in added:
                sizes[id_] = 0 if added[id_].special else len(token.encode())
            else:
                sizes[id_] = len(token) if byte_level.issuperset(token) else len(token.encode())
        return sizes

    def save(self, folder: Path) -> None:
        """Write the files that ``AutoTokenizer.from_pretrained(folder)`` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        self.backend.save(str(folder / TOKENIZER))
        config = {**self.config, "tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    @cached_property
    def _encoder(self) -> BatchEncoder:
        return BatchEncoder(self.backend)

    @cached_property
    def _specials(self) -> dict[str, int]:
        added = self.backend.get_added_tokens_decoder()
        return {token.content: id_ for id_, token in added.items() if token.special}

    def _first_special(self) -> int | None:
        """The BOS token, if a text that is encoded with special tokens begins with it."""
        content = self._content("bos_token")
        bos: int | None = None if content is None else self.backend.token_to_id(content)
        first = self.backend.encode("a", add_special_tokens=True).ids[:1]
        return bos if self.config.get("add_bos_token") or first == [bos] else None

    def _special(self, key: str) -> int | None:
        content = self._content(key)
        if content is None:
            return None
        id_: int | None = self.backend.token_to_id(content)
        if id_ is None:
            raise UserError(f"{self.name}: {key} {content!r} of {CONFIG} is not in {TOKENIZER}")
        return id_

    def _content(self, key: str) -> str | None:
        """The text of a token that the config names."""
        token = self.config.get(key)
        content = token.get("content") if isinstance(token, dict) else token
        if not isinstance(content, str | None):
            raise UserError(f"{self.name}: {key} {content!r} of {CONFIG}: expected a string")
        return content


def load_tokenizer(source: str | Path) -> Tokenizer:
    """Open a tokenizer.

    Args:
        source: A folder with ``tokenizer.json`` and ``tokenizer_config.json``, or
            ``hf:REPO[@REVISION]`` on the Hugging Face Hub (``hf:allenai/dolma2-tokenizer`` is
            Olmo 3's).

    Raises:
        UserError: There is no tokenizer, or it has no end-of-document token.
    """
    folder = _download(str(source)) if str(source).startswith(_HUB) else Path(source)
    for name in (TOKENIZER, CONFIG):
        if not (folder / name).is_file():
            raise UserError(f"{source}: no {name}; expected a folder of a Hugging Face tokenizer")
    try:
        backend = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except Exception as error:  # `tokenizers` raises plain Exception
        raise UserError(f"{source}: not a Hugging Face tokenizer: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG}: {type(config).__name__} found, a JSON object expected")
    template = folder / CHAT_TEMPLATE
    if template.is_file():
        try:
            config["chat_template"] = template.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{template}: not valid UTF-8; expected a file of Jinja") from error
    return Tokenizer(backend, config, str(source))


def _download(source: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = source.removeprefix(_HUB).partition("@")
    files = [TOKENIZER, CONFIG, CHAT_TEMPLATE]
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=files))
    except Exception as error:  # every kind of network trouble ends here
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"tokenizer {source}: cannot be fetched from the Hub: {reason}") from error
