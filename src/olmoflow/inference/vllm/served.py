"""What a server serves: names, lengths, vocabulary, and which weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from olmoflow.errors import UserError
from olmoflow.inference.vllm.answers import Anything, Models, ServerInfo, WeightInfo
from olmoflow.inference.vllm.connection import Connection, NotServedError

GENERATE = "/inference/v1/generate"
# The label that vLLM gives the weights with which it starts.
FIRST_WEIGHTS = "default"
_BEYOND_EVERY_VOCABULARY = 2**31 - 1


@dataclass(frozen=True)
class Served:
    """The model of a server.

    Attributes:
        names: All of them are names of one model.
        folder: Where the server found it.
        max_length: Tokens of prompt and continuation together.
        vocab_size: Ids of tokens are below it.
        weights: The label of the weights in use.
        dtype: Of the weights; None where the server was not started for development, so that its
            weights cannot be replaced either.
    """

    names: tuple[str, ...]
    folder: str
    max_length: int
    vocab_size: int
    weights: str
    dtype: str | None


async def look_at(server: Connection, expected: str | None) -> Served:
    """Ask a server what it serves.

    Args:
        server: The server.
        expected: One of the names that the model must have, and with its first weights; None: any.

    Raises:
        UserError: It serves another model, other weights, or log-probabilities of another kind.
    """
    cards = (await server.get("/v1/models", Models)).data
    names = tuple(card.id for card in cards)
    weights, dtype = FIRST_WEIGHTS, None
    try:
        weights = (await server.get("/weight_info", WeightInfo)).weight_version
        info = await server.get("/server_info?config_format=json", ServerInfo)
    except NotServedError:
        pass
    else:
        config = info.vllm_config.model_config_
        if config.logprobs_mode != "raw_logprobs":
            raise UserError(
                f"engine.url={server.url}: the server has --logprobs-mode {config.logprobs_mode}; "
                "expected raw_logprobs, those before temperature, top-k and top-p"
            )
        dtype = config.dtype.removeprefix("torch.")
    if expected is not None:
        _check_identity(server.url, names, weights, expected)
    vocab_size = await _vocab_size(server)
    return Served(names, cards[0].root, cards[0].max_model_len, vocab_size, weights, dtype)


def _check_identity(url: str, names: tuple[str, ...], weights: str, expected: str) -> None:
    if expected not in names:
        raise UserError(
            f"engine.url={url}: serves {', '.join(names)}, but the checkpoint is {expected}; "
            "`./just vllm NAME` serves a checkpoint"
        )
    if weights != FIRST_WEIGHTS:
        raise UserError(
            f"engine.url={url}: the weights of {expected} were replaced there by {weights}; "
            "start the server anew"
        )


async def _vocab_size(server: Connection) -> int:
    """No endpoint tells it; the refusal of an impossible token does."""
    parameters: dict[str, Any] = {"max_tokens": 1}
    parameters["logit_bias"] = {str(_BEYOND_EVERY_VOCABULARY): 1.0}
    try:
        await server.post(GENERATE, Anything, {"token_ids": [0], "sampling_params": parameters})
    except NotServedError:
        raise
    except UserError as error:
        found = re.search(r"[Vv]ocabulary size: (\d+)", str(error))
        if found is None:
            raise
        return int(found[1])
    raise UserError(f"engine.url={server.url}: the server takes tokens that no vocabulary has")
