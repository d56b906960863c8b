"""Generation: greedy as transformers, sampling as it says, stops where it should."""

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.inference import Sampling, generate
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.model.hf.config import to_hf_config
from olmoflow.model.hf.names import NAMES

PROMPT = [5, 9, 2, 40, 7]


@pytest.fixture(scope="module")
def model():
    config = Olmo3Config(
        vocab_size=96,
        d_model=48,
        n_layers=4,
        n_heads=4,
        n_kv_heads=2,
        ffn_hidden_size=96,
        sliding_window=8,
        max_sequence_length=64,
        init_std=0.3,  # far from uniform, so that greedy choices are no ties
    )
    model = Olmo3(config)
    initialise(model, seed=3)
    return model.eval()


def test_greedy_equals_transformers_token_by_token(model):
    from transformers import Olmo3Config as HFConfig
    from transformers import Olmo3ForCausalLM

    values = to_hf_config(model.config, model.config.vocab_size, "float32")
    theirs = Olmo3ForCausalLM(HFConfig(**values, pad_token_id=0, eos_token_id=None)).eval()
    theirs.load_state_dict({NAMES.theirs(n): p for n, p in model.state_dict().items()})
    for prompt in (PROMPT, list(range(30))):  # shorter and longer than the window
        new = 64 - len(prompt)
        ids = torch.tensor([prompt])
        settings = {"max_new_tokens": new, "do_sample": False, "eos_token_id": None}
        expected = theirs.generate(ids, attention_mask=torch.ones_like(ids), **settings)
        ours = generate(model, prompt, max_new_tokens=new, sampling=Sampling(temperature=0))
        assert ours.token_ids == expected[0, len(prompt) :].tolist()
        assert ours.finish_reason == "length"


def test_logprobs_are_those_of_the_full_forward_pass(model):
    done = generate(model, PROMPT, max_new_tokens=20, seed=4)
    ids = torch.tensor([PROMPT + done.token_ids])
    expected = model(ids).log_softmax(-1)[0, len(PROMPT) - 1 : -1]
    expected = expected.gather(1, ids[0, len(PROMPT) :, None]).squeeze(1)
    torch.testing.assert_close(torch.tensor(done.logprobs), expected, atol=1e-5, rtol=1e-5)


def test_a_seed_repeats_and_another_differs(model):
    texts = [generate(model, PROMPT, max_new_tokens=20, seed=s).token_ids for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_stop_token_ends_the_text_and_tokens_stream(model):
    whole = generate(model, PROMPT, max_new_tokens=20, seed=1).token_ids
    seen = []
    stop = whole[4]
    done = generate(model, PROMPT, max_new_tokens=20, seed=1, stop_ids=[stop], on_token=seen.append)
    assert done.token_ids == seen == whole[: whole.index(stop) + 1]
    assert done.finish_reason == "stop"


def test_rows_that_pad_the_vocabulary_are_never_chosen(model):
    done = generate(model, PROMPT, max_new_tokens=50, sampling=Sampling(5.0), vocab_size=41)
    assert max(done.token_ids) < 41


@pytest.mark.parametrize(
    ("prompt", "new", "message"),
    [
        ([], 4, "prompt: it has no tokens"),
        ([1, 96], 4, "prompt_ids: 96 found; expected ids from 0 to 95"),
        ([1] * 60, 5, "more than model.max_sequence_length=64; expected at most 4"),
        ([1], 0, "max_new_tokens=0: expected at least 1"),
    ],
)
def test_prompts_that_cannot_be_continued(model, prompt, new, message):
    with pytest.raises(UserError, match=message):
        generate(model, prompt, max_new_tokens=new)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"temperature": -1}, "temperature"), ({"top_p": 0}, "top_p"), ({"top_k": 0}, "top_k")],
)
def test_sampling_values_out_of_range(settings, message):
    with pytest.raises(UserError, match=f"{message}="):
        Sampling(**settings)


def test_distribution_of_top_k_and_top_p():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    assert Sampling(top_p=0.7).distribution(logits)[0].tolist() == pytest.approx(
        [0, 4 / 7, 0, 3 / 7]
    )
    # The token that reaches the threshold is in, also when it alone reaches it.
    assert Sampling(top_p=0.01).distribution(logits)[0].tolist() == [0, 1, 0, 0]
    assert Sampling(top_k=3).distribution(logits)[0].tolist() == pytest.approx(
        [0, 4 / 9, 2 / 9, 3 / 9]
    )
    hot = Sampling(temperature=2.0).distribution(logits)[0]
    assert hot.tolist() == pytest.approx((logits[0] / 2).softmax(-1).tolist())


def test_samples_follow_the_distribution():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log().expand(20_000, 4)
    chosen = Sampling().choose(logits, torch.Generator().manual_seed(0))
    shares = chosen.bincount(minlength=4) / 20_000
    assert shares.tolist() == pytest.approx([0.1, 0.4, 0.2, 0.3], abs=0.015)
