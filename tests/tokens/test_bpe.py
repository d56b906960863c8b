"""Small BPEs: deterministic, in Olmo 3's form, and open to Hugging Face."""

import pytest
from transformers import AutoTokenizer

from olmoflow.errors import UserError
from olmoflow.tokens.bpe import train_bpe


def test_the_same_texts_give_the_same_tokenizer(texts, room):
    again = train_bpe(iter(texts), 600)
    assert again.backend.to_str() == room.opened.backend.to_str()


def test_the_vocabulary_is_bytes_merges_and_specials(room):
    tokenizer = room.opened
    assert tokenizer.vocab_size == tokenizer.backend.get_vocab_size() == 600
    assert (tokenizer.eos_id, tokenizer.pad_id) == (598, 599)


def test_transformers_opens_it_with_the_same_ids(room, texts):
    theirs = AutoTokenizer.from_pretrained(room.tokenizer)
    for text in [*texts[:5], *texts[-4:], "a<|endoftext|>b"]:
        ids = room.opened.encode(text)
        assert theirs.encode(text, add_special_tokens=False) == ids
        assert theirs.decode(ids) == room.opened.decode(ids) == text
    assert theirs.eos_token_id == room.opened.eos_id
    assert theirs.pad_token_id == room.opened.pad_id


def test_reading_stops_at_the_budget(texts):
    read = []
    train_bpe(texts, 300, max_bytes=5000, progress=read.append)
    assert 5000 <= read[-1] < 5000 + 2000
    assert read == sorted(read)


def test_a_vocabulary_that_the_corpus_cannot_fill_is_an_error():
    with pytest.raises(UserError, match="vocab_size=5000: the corpus has pairs for only"):
        train_bpe(["too little text"], 5000)
    with pytest.raises(UserError, match="vocab_size=1000000000: expected 264 to 4194304 tokens"):
        train_bpe(["one two"], 1_000_000_000)
    with pytest.raises(UserError, match="vocab_size=100: expected 264 to 4194304 tokens"):
        train_bpe(["text"], 100)
