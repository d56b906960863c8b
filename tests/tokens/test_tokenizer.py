"""Tokenizers opened, saved and asked for what tokens stand for."""

import json

import pytest
import tokenizers
from tokenizers import decoders, models

from olmoflow.errors import UserError
from olmoflow.tokens.tokenizer import Tokenizer, load_tokenizer


def test_a_saved_tokenizer_opens_the_same(room, tmp_path, texts):
    opened = load_tokenizer(room.tokenizer)
    opened.save(tmp_path / "again")
    again = load_tokenizer(tmp_path / "again")
    assert again.backend.to_str() == room.opened.backend.to_str()
    assert (again.eos_id, again.pad_id, again.vocab_size) == (598, 599, 600)
    assert again.encode_documents(texts[:3]).ids.tolist() == [
        id_ for text in texts[:3] for id_ in room.opened.encode(text)
    ]


def test_a_chat_template_beside_the_config_is_kept(room, tmp_path):
    room.opened.save(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    opened = load_tokenizer(tmp_path)
    opened.save(tmp_path / "again")
    config = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())
    assert config["chat_template"] == "{{ messages }}"


def test_text_comes_back_from_its_ids(room, texts):
    for text in texts:
        assert room.opened.decode(room.opened.encode(text)) == text
    half = room.opened.encode("東")[:1]
    assert "\ufffd" in room.opened.decode(half)
    ids = [*room.opened.encode("a"), room.opened.eos_id]
    assert room.opened.decode(ids) == "a<|endoftext|>"
    assert room.opened.decode(ids, skip_special_tokens=True) == "a"


def test_token_sizes_add_up_to_the_bytes_of_a_text(room, texts):
    sizes = room.opened.token_sizes()
    assert sizes.shape == (600,)
    for text in texts:
        assert sizes[room.opened.encode(text)].sum() == len(text.encode())
    assert sizes[[room.opened.eos_id, room.opened.pad_id]].tolist() == [0, 0]


def test_token_sizes_of_other_vocabularies_are_those_of_their_text():
    backend = tokenizers.Tokenizer(models.WordLevel({"<eos>": 0, "東京": 1, "a": 2}, "<eos>"))
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens(["<eos>"])
    tokenizer = Tokenizer(backend, {"eos_token": "<eos>"})
    assert tokenizer.token_sizes().tolist() == [0, 6, 1]
    assert tokenizer.pad_id is None


def test_mistakes_are_told_in_one_line(room, tmp_path):
    with pytest.raises(UserError, match=r"no tokenizer\.json; expected a folder of a Hugging Face"):
        load_tokenizer(tmp_path)
    room.opened.save(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    for content, message in (
        ("{}", r"no eos_token in tokenizer_config\.json"),
        (
            '{"eos_token": {"content": "<nope>"}}',
            r"eos_token '<nope>' of tokenizer_config\.json is n",
        ),
        ("[]", r"tokenizer_config\.json: list found, a JSON object"),
        ('{"eos_token": 5}', r"eos_token 5 of tokenizer_config\.json: expected a str"),
        (
            '{"eos_token": "<|endoftext|>", "bos_token": [1]}',
            r"bos_token \[1\] of tokenizer_config\.json: expected",
        ),
    ):
        config.write_text(content)
        with pytest.raises(UserError, match=message):
            load_tokenizer(tmp_path)
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"chat_template\.jinja: not valid UTF-8; expected a file"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="not a Hugging Face tokenizer") as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)
