"""The engine over transformers, with models that are no Olmo 3, against transformers itself."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from olmoflow.errors import UserError
from olmoflow.inference import Sampling
from olmoflow.inference.engine import Engine, GenerationRequest, ScoreRequest
from olmoflow.inference.hf import open_hf
from olmoflow.tokens.bpe import train_bpe

TEXTS = [f"The {a} fox sees the {b} dog; naïve!" for a in ("red", "old") for b in ("sly", "big")]
VOCAB = 280
CONFIGS = {
    "llama": LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        eos_token_id=None,
        bos_token_id=None,
    ),
    "gpt2": GPT2Config(
        vocab_size=VOCAB,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=64,
        initializer_range=0.3,
        eos_token_id=None,
        bos_token_id=None,
    ),
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS * 4, VOCAB)


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def folder(request, tokenizer, tmp_path_factory):
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp(request.param)
    AutoModelForCausalLM.from_config(CONFIGS[request.param]).save_pretrained(folder)
    return folder


def open_engine(folder, tokenizer, **settings):
    engine = open_hf(folder, torch.device("cpu"), torch.float32, tokenizer, **settings)
    assert isinstance(engine, Engine)
    return engine


def ids(length, seed):
    return torch.randint(VOCAB, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


SCORED = [
    *(ScoreRequest(ids(3 + 5 * i, i), ids(1 + i % 4, 50 + i)) for i in range(8)),
    *(ScoreRequest(ids(20, 7), [letter]) for letter in (5, 6, 7)),  # one context, four letters
    ScoreRequest(ids(20, 7), ids(4, 1)),
    ScoreRequest(ids(60, 9), ids(4, 2)),
]


def test_scores_are_those_of_each_request_by_itself(folder, tokenizer):
    engine = open_engine(folder, tokenizer)
    assert (engine.max_length, engine.vocab_size) == (64, VOCAB)
    by_batch = [
        dict(open_engine(folder, tokenizer, batch_tokens=tokens).score(SCORED))
        for tokens in (1, 100, 10_000)
    ]
    for number, request in enumerate(SCORED):
        whole = torch.tensor([[*request.context_ids, *request.continuation_ids]])
        with torch.inference_mode():
            logprobs = engine.model(whole).logits.log_softmax(-1)[0, :-1]
        predicted = logprobs[len(request.context_ids) - 1 :]
        expected = predicted.gather(1, torch.tensor(request.continuation_ids)[:, None])[:, 0]
        likeliest = predicted.argmax(-1).tolist() == list(request.continuation_ids)
        for scores in by_batch:
            assert scores[number].logprobs == pytest.approx(expected.tolist(), abs=1e-4)
            assert scores[number].greedy == likeliest


def test_greedy_text_is_that_of_transformers(folder, tokenizer):
    engine = open_engine(folder, tokenizer, max_batch=3)
    prompts = [ids(length, length) for length in (4, 19, 1, 30, 7)]
    greedy = Sampling(temperature=0)
    requests = [GenerationRequest(p, 12, greedy, prompt_logprobs=True) for p in prompts]
    found = {c.request: c for c in engine.generate(iter(requests))}
    for number, prompt in enumerate(prompts):
        expected = engine.model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
            max_new_tokens=12,
            do_sample=False,
        )[0, len(prompt) :].tolist()
        completion = found[number]
        assert completion.token_ids == expected
        assert completion.finish_reason == "length"
        ((_, score),) = engine.score([ScoreRequest(prompt, expected)])
        assert completion.logprobs == pytest.approx(score.logprobs, abs=1e-4)
        assert len(completion.prompt_logprobs) == len(prompt) - 1


def test_a_sample_depends_on_its_seed_and_number_alone(folder, tokenizer):
    request = GenerationRequest(ids(9, 1), 10, Sampling(temperature=1.0), n=4, seed=5)
    other = GenerationRequest(ids(17, 2), 6, Sampling(temperature=0.7, top_p=0.9), n=2, seed=8)
    alone = list(open_engine(folder, tokenizer, max_batch=1).generate([request]))
    beside = open_engine(folder, tokenizer, max_batch=64).generate([other, request])
    samples = {c.sample: c.token_ids for c in beside if c.request == 1}
    assert samples == {c.sample: c.token_ids for c in alone}
    assert len({tuple(c.token_ids) for c in alone}) == 4
    again = list(open_engine(folder, tokenizer).generate([other, request]))
    assert {c.sample: c.token_ids for c in again if c.request == 1} == samples


def test_a_sample_ends_at_a_stop_token_or_before_a_stop_text(folder, tokenizer):
    engine = open_engine(folder, tokenizer)
    plain = GenerationRequest(ids(6, 3), 20, Sampling(temperature=0))
    (whole,) = engine.generate([plain])
    stop = whole.token_ids[5]
    first = whole.token_ids.index(stop)
    ((at_token), (at_text)) = engine.generate(
        [
            GenerationRequest(ids(6, 3), 20, plain.sampling, stop_ids=frozenset({stop})),
            GenerationRequest(ids(6, 3), 20, plain.sampling, stop_texts=(whole.text[4:6],)),
        ]
    )
    assert at_token.token_ids == whole.token_ids[: first + 1]
    assert at_text.text == whole.text[: whole.text.index(whole.text[4:6])]
    assert at_token.finish_reason == at_text.finish_reason == "stop"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ScoreRequest([1], []), "without tokens"),
        (ScoreRequest([1, VOCAB], [2]), f"id {VOCAB} found; expected ids from 0 to {VOCAB - 1}"),
        (ScoreRequest([1] * 60, [2] * 5), "65 tokens found; expected at most 64"),
    ],
)
def test_what_the_model_cannot_take_is_named(folder, tokenizer, request_, expected):
    with pytest.raises(UserError, match=expected):
        list(open_engine(folder, tokenizer).score([request_]))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (GenerationRequest([], 4), "request 1: the prompt has no tokens"),
        (GenerationRequest([1], 0), "request 1: max_new_tokens=0: expected at least 1"),
        (GenerationRequest([1], 4, n=0), "request 1: n=0: expected at least 1"),
        (GenerationRequest([1] * 60, 5), "max_new_tokens=5: with the prompt's 60 tokens more than"),
        (GenerationRequest([-1], 4), f"id -1 found; expected ids from 0 to {VOCAB - 1}"),
        (GenerationRequest([1], 4, stop_ids=frozenset({VOCAB})), f"id {VOCAB} found"),
        (GenerationRequest([1], 4, stop_texts=("",)), "which would end everything"),
    ],
)
def test_what_cannot_be_generated_is_named(folder, tokenizer, request_, expected):
    with pytest.raises(UserError, match=expected):
        list(open_engine(folder, tokenizer).generate([GenerationRequest([1], 2), request_]))


@pytest.mark.parametrize("name", ["batch_tokens", "max_batch", "max_length"])
def test_settings_out_of_range(folder, tokenizer, name):
    with pytest.raises(UserError, match=f"engine.{name}=0: expected at least 1"):
        open_engine(folder, tokenizer, **{name: 0})


def test_no_text_is_longer_than_the_model_reads(folder, tokenizer):
    with pytest.raises(UserError, match=r"max_length=65: expected at most the model's 64"):
        open_engine(folder, tokenizer, max_length=65)


def test_a_folder_that_lacks_weights_is_no_model(folder, tokenizer, tmp_path, capfd):
    """transformers would draw them at random, and the scores would look like scores."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    lacking = sorted(name for name in weights if "norm" in name or "ln_f" in name)[-1]
    del weights[lacking]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"1 of the weights of a .* missing, such as .*{lacking}"):
        open_engine(tmp_path, tokenizer)
    assert "MISSING" not in capfd.readouterr().err  # the message is all that is said


def test_a_folder_without_a_model_is_named(tmp_path, tokenizer):
    with pytest.raises(UserError, match="transformers cannot load it"):
        open_engine(tmp_path, tokenizer)
