"""One sample: our request as vLLM's, and its answer as our completion.

Sampling is vLLM's own, so a seed gives other texts than with the native engine; what a request
means is the same. Three things differ from vLLM's habits: the end-of-text token ends a sample only
if the request names it; a special token's text may be a stop text; and each sample of a prompt has
a seed that no other request's samples have (vLLM counts up from the seed).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from olmoflow.errors import UserError
from olmoflow.inference.engine import Completion, GenerationRequest
from olmoflow.inference.native.stopping import text_before
from olmoflow.inference.sampling import Sampling
from olmoflow.inference.vllm.answers import NO_LOGPROB, Choice
from olmoflow.tokens.tokenizer import Tokenizer

# vLLM takes a temperature below this for greater, and refuses greater ones.
_LEAST_TEMPERATURE, _GREATEST_TEMPERATURE = 0.01, 2.0


def sampling_parameters(request: GenerationRequest, sample: int) -> dict[str, Any]:
    """What vLLM calls ``sampling_params``, for one sample of a request.

    Raises:
        UserError: vLLM cannot sample at this temperature.
    """
    return {
        **_distribution(request.sampling),
        "max_tokens": request.max_new_tokens,
        "seed": sample_seed(request.seed, sample),
        "logprobs": 0,  # the sampled token's alone
        "ignore_eos": True,
        "stop_token_ids": sorted(request.stop_ids),
        "stop": list(request.stop_texts),
        "skip_special_tokens": False,  # for the stop texts; the text itself is ours
    }


def sample_seed(seed: int, sample: int) -> int:
    """A seed for one sample: 32 bits, all that torch's generator on a CPU looks at."""
    digest = hashlib.blake2b(f"{seed} {sample}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def completion(
    number: int,
    sample: int,
    request: GenerationRequest,
    choice: Choice,
    versions: Mapping[str, int],
    tokenizer: Tokenizer | None,
) -> Completion:
    """A completion of what the server sampled.

    Args:
        number: Of the request.
        sample: Of the request's samples.
        request: What was asked for.
        choice: What came back.
        versions: The numbers of the weights by their label on the server.
        tokenizer: Gives the text.

    Raises:
        UserError: The server gave up the sample, the model computes no numbers, or the weights
            that produced a token are none of ours.
    """
    if choice.finish_reason not in ("stop", "length"):
        raise UserError(
            f"request {number}: the server gave up sample {sample} ({choice.finish_reason})"
        )
    finish: Literal["stop", "length"] = "stop" if choice.finish_reason == "stop" else "length"
    logprobs = [token.logprob for token in choice.logprobs.content]
    check_numbers(number, logprobs)
    text = None
    if tokenizer is not None:
        text = text_before(tokenizer, choice.token_ids, request.stop_texts)
    return Completion(
        request=number,
        sample=sample,
        token_ids=choice.token_ids,
        logprobs=logprobs,
        versions=_versions(number, choice, versions),
        finish_reason=finish,
        text=text,
    )


def check_numbers(number: int, logprobs: list[float]) -> None:
    """Refuse what the server says in place of NaN and -inf: it is a failure, not a small number.

    Raises:
        UserError: There is one among the log-probabilities.
    """
    if any(logprob <= NO_LOGPROB for logprob in logprobs):
        raise UserError(
            f"request {number}: the served model computes NaN or no probability at all; "
            "its weights may be damaged, or too large for its dtype"
        )


def _distribution(sampling: Sampling) -> dict[str, Any]:
    temperature = sampling.temperature
    if temperature and not _LEAST_TEMPERATURE <= temperature <= _GREATEST_TEMPERATURE:
        raise UserError(
            f"temperature={temperature}: vLLM samples at 0 (greedy) or from "
            f"{_LEAST_TEMPERATURE} to {_GREATEST_TEMPERATURE}"
        )
    return {"temperature": temperature, "top_p": sampling.top_p, "top_k": sampling.top_k or 0}


def _versions(number: int, choice: Choice, versions: Mapping[str, int]) -> list[int]:
    spans = choice.weight_versions or []
    if unknown := [span.version for span in spans if span.version not in versions]:
        raise UserError(
            f"request {number}: another client replaced the server's weights ({unknown[0]})"
        )
    each = [versions[span.version] for span in spans for _ in range(span.start, span.end)]
    if len(each) != len(choice.token_ids):
        raise UserError(f"request {number}: the server does not say which weights made the tokens")
    return each
