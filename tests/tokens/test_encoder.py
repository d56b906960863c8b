"""The compiled encoder gives the ids of `tokenizers`, whatever the text."""

import numpy as np
import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers, pre_tokenizers

from olmoflow.tokens.bpe import byte_level
from olmoflow.tokens.encoder import BatchEncoder

# Characters at which the pattern decides, weighted against all of Unicode.
DECIDING = st.text(
    st.sampled_from(
        list("aZſKé0٣½Ⅷ東🎉'sStTrRvVeElLmMdD_-|<> \t\n\r\v\f\x85\u00a0\u2028\u3000\u0301")
    )
)
ANY = st.text(st.characters(exclude_categories=["Cs"]))
TEXT = st.one_of(DECIDING, ANY, st.builds(lambda a, b: a * 20 + b, DECIDING, ANY))


@pytest.fixture(scope="module")
def encoder(room):
    made = BatchEncoder(room.opened.backend)
    assert made.compiled
    return made


def reference(backend, texts):
    plain = tokenizers.Tokenizer.from_str(backend.to_str())
    plain.encode_special_tokens = True
    return [e.ids for e in plain.encode_batch(texts, add_special_tokens=False)]


def assert_same(encoder, backend, texts):
    found = encoder.encode(texts)
    expected = reference(backend, texts)
    assert found.counts.tolist() == [len(ids) for ids in expected]
    assert found.ids.tolist() == [id_ for ids in expected for id_ in ids]
    assert found.sizes.tolist() == [len(text.encode()) for text in texts]


def test_fuzzed_text_has_the_ids_of_tokenizers(room, encoder):
    @settings(max_examples=1500)
    @given(texts=st.lists(TEXT, min_size=1, max_size=4))
    @example(["I'll 'LL 'ſ 'r", "a\x00b", "'", " '", "\r\n\r\n a", "   ", "x" * 500])
    @example([""])
    @example(["a", "", "b"])
    def check(texts):
        assert_same(encoder, room.opened.backend, texts)

    check()


def test_every_character_has_the_ids_of_tokenizers(room, encoder):
    points = [*range(1, 0xD800), *range(0xE000, 0x110000)]
    step = 64  # between letters, digits and spaces, so that each class shows
    texts = [
        "".join(f"a{chr(p)}1{chr(p)} {chr(p)}\n" for p in points[i : i + step])
        for i in range(0, len(points), step * 16)
    ]
    classes = [
        "".join(f"a{chr(p)}1" for p in points[i : i + 4096]) for i in range(0, 0x20000, 4096)
    ]
    assert_same(encoder, room.opened.backend, texts)
    assert_same(encoder, room.opened.backend, classes)


def test_long_pieces_are_merged_alike(room, encoder):
    generator = np.random.default_rng(0)
    letters = np.array(list("abcdefghinorst"))
    texts = ["".join(generator.choice(letters, n)) for n in (47, 48, 49, 50, 300, 5000)]
    assert_same(encoder, room.opened.backend, texts)


def test_a_full_cache_changes_nothing(room, texts):
    encoder = BatchEncoder(room.opened.backend)
    generator = np.random.default_rng(1)
    letters = np.array(list("abcdefghinorstu"))
    words = [
        " ".join("".join(generator.choice(letters, 9)) for _ in range(10_000)) for _ in "1234567"
    ]
    for part in (words, texts, words[:2], texts):
        assert_same(encoder, room.opened.backend, part)


def test_the_text_of_a_special_token_stays_text(room, encoder):
    ids = encoder.encode(["a<|endoftext|>b"]).ids
    assert room.opened.eos_id not in ids
    assert room.opened.decode(ids.tolist()) == "a<|endoftext|>b"
    # In a prompt it is one.
    assert room.opened.eos_id in room.opened.encode("a<|endoftext|>b")


def test_added_tokens_that_are_text_are_found(room):
    backend = tokenizers.Tokenizer.from_str(room.opened.backend.to_str())
    backend.add_tokens([AddedToken("|||MAIL|||", special=False, normalized=False)])
    encoder = BatchEncoder(backend)
    assert encoder.compiled
    id_ = backend.token_to_id("|||MAIL|||")
    assert id_ in encoder.encode(["write to |||MAIL|||.", "a || b"]).ids
    for texts in (["|||MAIL|||"], ["x", "to |||MAIL|||.", "", "a ||| b", "|||MAIL|||", "y"]):
        assert_same(encoder, backend, texts)


def test_no_texts_give_no_ids(encoder):
    found = encoder.encode([])
    assert len(found.ids) == len(found.counts) == 0


@pytest.mark.parametrize("kind", ["normalizer", "pattern", "model"])
def test_other_tokenizers_run_uncompiled(room, texts, kind):
    backend = tokenizers.Tokenizer.from_str(room.opened.backend.to_str())
    if kind == "normalizer":
        backend.normalizer = normalizers.Lowercase()
    elif kind == "pattern":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        backend = tokenizers.Tokenizer(models.WordLevel({"a": 0, "?": 1}, "?"))
        backend.pre_tokenizer = pre_tokenizers.Whitespace()
    encoder = BatchEncoder(backend)
    assert not encoder.compiled
    assert_same(encoder, backend, texts[:20])


def test_merges_out_of_order_run_uncompiled():
    # "bc" is merged before "ab", but stands behind it in the vocabulary.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, "ab", "bc"])}
    backend = byte_level(models.BPE(vocab=vocabulary, merges=[("b", "c"), ("a", "b")]))
    encoder = BatchEncoder(backend)
    assert not encoder.compiled
    assert_same(encoder, backend, ["abc", "ab bc"])
