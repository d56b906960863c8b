"""What a vLLM server answers, as far as it is read. Checked against vLLM 0.32.0."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

# The server has no JSON for -inf and NaN, and says this instead.
NO_LOGPROB = -9999.0


class Anything(BaseModel):
    """Any JSON object."""


class ModelCard(BaseModel):
    """A name under which the model is served."""

    id: str
    root: str
    max_model_len: int


class Models(BaseModel):
    """``GET /v1/models``; all names are of one model."""

    data: list[ModelCard] = Field(min_length=1)


class ModelConfig(BaseModel):
    """The part of `ServerInfo` about the model."""

    dtype: str
    logprobs_mode: str


class VLLMConfig(BaseModel):
    """The part of `ServerInfo` that is the server's config."""

    model_config_: ModelConfig = Field(alias="model_config")


class ServerInfo(BaseModel):
    """``GET /server_info?config_format=json``."""

    vllm_config: VLLMConfig


class WeightInfo(BaseModel):
    """``GET /weight_info``: the label of the weights in use, ``default`` at the start."""

    weight_version: str


class Checksums(BaseModel):
    """``POST /weight_checker``: SHA-256 by a rank's prefix and the server's name of a tensor."""

    checksums: dict[str, str]


class RPCResults(BaseModel):
    """``POST /collective_rpc``: what each worker returned."""

    results: list[Any]


class TokenLogprob(BaseModel):
    """Of a sampled token; `top_logprobs` are others at its place, itself first."""

    token_id: int
    logprob: float
    top_logprobs: list[TokenLogprob] = []


class Logprob(BaseModel):
    """Of a token of the prompt."""

    logprob: float


class Logprobs(BaseModel):
    """Of the sampled tokens."""

    content: list[TokenLogprob]


class WeightSpan(BaseModel):
    """Tokens ``[start, end)`` came from the weights with this label."""

    version: str
    start: int
    end: int


class Choice(BaseModel):
    """One sample."""

    token_ids: list[int]
    finish_reason: str
    logprobs: Logprobs
    weight_versions: list[WeightSpan] | None = None


class Generated(BaseModel):
    """``POST /inference/v1/generate``.

    Attributes:
        prompt_logprobs: For each token of the prompt, log-probabilities by token id: of the token
            itself and of the likeliest; None for the first token.
    """

    choices: list[Choice] = Field(min_length=1, max_length=1)
    prompt_logprobs: list[dict[int, Logprob] | None] | None = None
