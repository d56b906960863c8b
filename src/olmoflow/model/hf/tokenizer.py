"""The tokenizer beside a model: which files it has, and the ids that the model's config names."""

import shutil
from pathlib import Path

from tokenizers import Tokenizer

from olmoflow.errors import UserError
from olmoflow.model.json_file import read_json_object

_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def tokenizer_size(folder: Path) -> int:
    """Number of ids, special tokens included: one more than the largest."""
    vocabulary = _tokenizer(folder).get_vocab(with_added_tokens=True)
    return max(vocabulary.values()) + 1


def special_ids(folder: Path) -> dict[str, int | None]:
    """`eos_token_id`, `pad_token_id` and `bos_token_id`, None where the tokenizer has none."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        raise UserError(f"{path}: missing; it names the end-of-text and padding tokens")
    config = read_json_object(path)
    tokenizer, ids = _tokenizer(folder), dict[str, int | None]()
    for kind in ("eos", "pad", "bos"):
        token = config.get(f"{kind}_token")
        text = token.get("content") if isinstance(token, dict) else token
        if not isinstance(text, str | None):
            raise UserError(f"{path}: {kind}_token: {text!r} found, a string expected")
        ids[f"{kind}_token_id"] = None if text is None else tokenizer.token_to_id(text)
        if text is not None and ids[f"{kind}_token_id"] is None:
            raise UserError(f"{path}: {kind}_token: {text!r} is not in tokenizer.json")
    return ids


def check_settings(folder: Path) -> None:
    """See that `tokenizer_config.json`, if there is one, can be read."""
    path = folder / "tokenizer_config.json"
    if path.is_file():
        read_json_object(path)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the files that make up a tokenizer; the target is made when absent."""
    target.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _tokenizer(folder: Path) -> Tokenizer:
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{path}: missing, so {folder} is not a tokenizer folder")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # `tokenizers` raises plain Exception
        raise UserError(f"{path}: damaged, or no Hugging Face tokenizer: {error}") from error
