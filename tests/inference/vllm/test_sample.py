"""A request in vLLM's words, and its answer in ours."""

from dataclasses import replace

import pytest

from olmoflow.errors import UserError
from olmoflow.inference.engine import GenerationRequest
from olmoflow.inference.sampling import Sampling
from olmoflow.inference.vllm.answers import Choice
from olmoflow.inference.vllm.sample import completion, sample_seed, sampling_parameters

REQUEST = GenerationRequest(
    [1, 2], 8, Sampling(0.7, 0.9, 5), seed=3, stop_ids=frozenset({9, 4}), stop_texts=("\n\n", "Q:")
)
VERSIONS = {"default": 0, "1-abc": 1}


def choice(**changes):
    values = {
        "token_ids": [5, 6, 7],
        "finish_reason": "stop",
        "logprobs": {"content": [{"token_id": 5 + i, "logprob": -float(i)} for i in range(3)]},
        "weight_versions": [
            {"version": "default", "start": 0, "end": 1},
            {"version": "1-abc", "start": 1, "end": 3},
        ],
    }
    return Choice.model_validate({**values, **changes})


def test_every_setting_of_the_request_arrives():
    sent = sampling_parameters(REQUEST, 0)
    assert (sent["temperature"], sent["top_p"], sent["top_k"]) == (0.7, 0.9, 5)
    assert (sent["max_tokens"], sent["stop"]) == (8, ["\n\n", "Q:"])
    # Only the request says what ends a sample, never the folder's end-of-text token.
    assert sent["stop_token_ids"] == [4, 9]
    assert sent["ignore_eos"] is True


def test_samples_and_seeds_never_share_a_seed():
    seeds = {sample_seed(seed, sample) for seed in range(40) for sample in range(40)}
    assert len(seeds) == 1600
    assert sample_seed(3, 1) == sample_seed(3, 1)
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize("temperature", [0.001, 2.5])
def test_a_temperature_that_vllm_would_change_or_refuse(temperature):
    request = replace(REQUEST, sampling=Sampling(temperature))
    with pytest.raises(UserError, match=rf"temperature={temperature}: vLLM samples at 0"):
        sampling_parameters(request, 0)


def test_a_completion():
    made = completion(4, 2, REQUEST, choice(), VERSIONS, None)
    assert (made.request, made.sample, made.finish_reason) == (4, 2, "stop")
    assert (made.token_ids, made.logprobs) == ([5, 6, 7], [0.0, -1.0, -2.0])
    assert made.versions == [0, 1, 1]
    assert made.text is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"finish_reason": "abort"}, r"request 4: the server gave up sample 2 \(abort\)"),
        # What the server writes for NaN.
        (
            {"logprobs": {"content": [{"token_id": 5, "logprob": -9999.0}]}},
            "request 4: .* computes NaN",
        ),
        ({"weight_versions": None}, "request 4: the server does not say which weights"),
        (
            {"weight_versions": [{"version": "7-def", "start": 0, "end": 3}]},
            r"request 4: another client replaced the server's weights \(7-def\)",
        ),
    ],
)
def test_what_is_no_completion_is_an_error(changes, message):
    with pytest.raises(UserError, match=message):
        completion(4, 2, REQUEST, choice(**changes), VERSIONS, None)
