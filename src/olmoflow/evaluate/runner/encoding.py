"""A task's texts as the token ids that an engine takes.

Context and continuation are encoded as OLMES and lm-eval do: spaces at the end of the context go to
the continuation, both are encoded in one piece, and the continuation is what follows as many tokens
as the context has by itself. A context that does not fit loses tokens at its beginning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from olmoflow.evaluate.runner.chat import render_chat
from olmoflow.evaluate.tasks.task import GenerateRequest, LoglikelihoodRequest, Request
from olmoflow.inference import Sampling
from olmoflow.inference.engine import GenerationRequest, ScoreRequest
from olmoflow.tokens.chat.spans import closing_ids
from olmoflow.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Encoded:
    """A request as an engine takes it.

    Attributes:
        request: For the engine.
        tokens: Of context and continuation (or prompt) before anything was cut.
        truncated: Tokens that the context lost.
    """

    request: ScoreRequest | GenerationRequest
    tokens: int
    truncated: int


@dataclass(frozen=True)
class TooLong:
    """A request that the model cannot take, whatever its context loses.

    Attributes:
        reason: One line: what was found, what fits.
    """

    reason: str


def count_tokens(tokenizer: Tokenizer, text: str) -> int:
    """Tokens of a prompt as an engine gets it, with BOS where it gets one."""
    return len(tokenizer.encode(text)) + (tokenizer.bos_id is not None)


class RequestEncoder:
    """Encodes requests for one model.

    A context begins with the tokenizer's BOS token where that is what the tokenizer itself puts
    before a text (Olmo's does not). An empty context is that token, or the end-of-document token.

    Args:
        tokenizer: The model's.
        max_length: Tokens that the model takes.
        seed: With a question's place in its task it decides what is sampled.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, seed: int = 0) -> None:
        self.tokenizer, self.max_length, self.seed = tokenizer, max_length, seed
        self.prefix = [] if tokenizer.bos_id is None else [tokenizer.bos_id]

    def encode(self, requests: Sequence[tuple[Request, str]]) -> list[Encoded | TooLong]:
        """Encode requests, each with a text that tells its place (task and question).

        What is sampled depends on that text and the seed alone.
        """
        pairs = [self._split(request) for request, _ in requests]
        whole = self._ids([context + continuation for context, continuation in pairs])
        contexts = self._ids([context for context, _ in pairs])
        encoded: list[Encoded | TooLong] = []
        for (request, place), (context, continuation) in zip(requests, pairs, strict=True):
            ids = whole[context + continuation]
            if isinstance(request, LoglikelihoodRequest):
                encoded.append(self._pair(ids, contexts[context]))
            else:
                encoded.append(self._prompt(request, ids, place))
        return encoded

    def _split(self, request: Request) -> tuple[str, str]:
        """Context and continuation, with the spaces between them on the continuation's side."""
        if isinstance(request, GenerateRequest):
            said = request.context
            return (render_chat(self.tokenizer, said) if request.chat else said), ""
        context = request.context.rstrip()
        return context, request.context[len(context) :] + request.continuation

    def _ids(self, texts: Sequence[str]) -> dict[str, list[int]]:
        """Token ids of each distinct text."""
        distinct = list(dict.fromkeys(texts))
        return dict(zip(distinct, self.tokenizer.encode_many(distinct), strict=True))

    def _pair(self, whole: list[int], context: list[int]) -> Encoded | TooLong:
        split = len(context)
        if split >= len(whole):
            # The continuation has merged into the context's last token: it begins with that one.
            pairs = enumerate(zip(whole, context, strict=False))
            split = next((place for place, (a, b) in pairs if a != b), len(whole))
        before, continuation = [*self.prefix, *whole[:split]], whole[split:]
        before = before or [self.tokenizer.eos_id]
        if not continuation:
            return TooLong("the continuation has no tokens")
        room = self.max_length - len(continuation)
        if room < 1:
            return TooLong(
                f"a continuation of {len(continuation)} tokens and a model that takes "
                f"{self.max_length}, at least one of them of the context"
            )
        kept = before[-room:]
        return Encoded(
            ScoreRequest(kept, continuation),
            len(before) + len(continuation),
            len(before) - len(kept),
        )

    def _prompt(self, request: GenerateRequest, ids: list[int], place: str) -> Encoded | TooLong:
        # A chat template writes BOS itself, where it wants one.
        prompt = (ids if request.chat else [*self.prefix, *ids]) or [self.tokenizer.eos_id]
        room = self.max_length - request.max_new_tokens
        if room < 1:
            return TooLong(
                f"an answer of up to {request.max_new_tokens} tokens and a model that takes "
                f"{self.max_length}, at least one of them of the prompt"
            )
        kept = prompt[-room:]
        # A stop text that is a special token never shows in the decoded text.
        special = {text: self.tokenizer.special_id(text) for text in request.stop_sequences}
        ids_of_stops = {id_ for id_ in special.values() if id_ is not None}
        if request.chat:  # a turn may end otherwise than a document does
            ids_of_stops |= closing_ids(self.tokenizer)
        return Encoded(
            GenerationRequest(
                kept,
                request.max_new_tokens,
                Sampling(request.temperature, request.top_p),
                n=request.samples,
                seed=_seed(self.seed, place, request.idx),
                stop_ids=frozenset([self.tokenizer.eos_id, *ids_of_stops]),
                stop_texts=tuple(text for text, id_ in special.items() if id_ is None),
            ),
            len(prompt),
            len(prompt) - len(kept),
        )


def _seed(seed: int, place: str, idx: int) -> int:
    digest = hashlib.sha256(f"{seed}/{place}/{idx}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
