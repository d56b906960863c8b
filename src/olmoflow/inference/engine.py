"""What every engine understands: requests in, completions and log-probabilities out.

Evaluation, preference building, rollouts and the playground speak to this protocol, and never to
one engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

from olmoflow.inference.sampling import Sampling

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt to continue.

    Attributes:
        prompt_ids: At least one token.
        max_new_tokens: At most so many new tokens of each sample.
        sampling: How tokens are chosen.
        n: Samples of this prompt. They share the work of reading it.
        seed: With the sample's number it fixes what is sampled, whatever runs beside it.
        stop_ids: Tokens that end a sample. The one that did is the last of its tokens.
        stop_texts: Texts that end a sample, wherever their characters lie in its tokens; the
            completion's text ends before them, its tokens include those that made them.
        prompt_logprobs: Also the log-probabilities of the prompt's own tokens.
    """

    prompt_ids: Sequence[int]
    max_new_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    n: int = 1
    seed: int = 0
    stop_ids: frozenset[int] = frozenset()
    stop_texts: tuple[str, ...] = ()
    prompt_logprobs: bool = False


@dataclass(frozen=True)
class Completion:
    """One sample of one request.

    Attributes:
        request: Number of the request in the order in which they were given, from 0.
        sample: Number of the sample of that request, from 0 to `n - 1`.
        token_ids: The new tokens.
        logprobs: Natural logarithm of the probability of each, before temperature, top-k and top-p.
        versions: Of the weights that produced each token.
        finish_reason: ``stop`` at a stop token or text, ``length`` at the limit.
        text: The new tokens as text, without special tokens and up to a stop text; None where the
            engine has no tokenizer.
        prompt_logprobs: Of the prompt's tokens from the second on, where they were asked for.
    """

    request: int
    sample: int
    token_ids: list[int]
    logprobs: list[float]
    versions: list[int]
    finish_reason: FinishReason
    text: str | None = None
    prompt_logprobs: list[float] | None = None


@dataclass(frozen=True)
class ScoreRequest:
    """How likely is a continuation of a context?

    Attributes:
        context_ids: At least one token.
        continuation_ids: At least one token.
    """

    context_ids: Sequence[int]
    continuation_ids: Sequence[int]


@dataclass(frozen=True)
class Score:
    """The answer to a `ScoreRequest`.

    Attributes:
        logprobs: Natural logarithm of the probability of each token of the continuation.
        greedy: Whether each of them is the likeliest token at its place.
    """

    logprobs: list[float]
    greedy: bool


@runtime_checkable
class Engine(Protocol):
    """A model that speaks.

    Attributes:
        max_length: Tokens of a prompt and its continuation together, at most.
        vocab_size: Ids of tokens are below it.
        version: Of the weights in use; 0 at the start.
    """

    @property
    def max_length(self) -> int:
        """Tokens of a prompt and its continuation together, at most."""
        ...

    @property
    def vocab_size(self) -> int:
        """Ids of tokens are below it."""
        ...

    @property
    def version(self) -> int:
        """Of the weights in use; 0 at the start."""
        ...

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Completion]:
        """Continue prompts, many at a time.

        Requests are taken from the iterable as places become free, so it may be endless, and may
        block. Completions come as they finish, in any order.

        Raises:
            UserError: A request is empty, has ids that the model lacks, or is too long.
        """
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Score]]:
        """Log-probabilities of continuations, each with its request's number, in any order.

        What is shared (equal contexts, common prefixes) is computed once; what runs beside a
        request changes no log-probability beyond rounding.

        Raises:
            UserError: A request is empty, has ids that the model lacks, or is too long.
        """
        ...

    def update_weights(self, version: int, weights: Mapping[str, Tensor]) -> None:
        """Use other weights from the next token on; running requests go on.

        May be called from another thread than the one that iterates `generate`.

        Args:
            version: Named in the completions' `versions` from then on.
            weights: By the names of `Olmo3.state_dict()`; all of them.

        Raises:
            UserError: A name or a shape does not fit the model.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds; it cannot be used any more."""
        ...
