"""The engine over ``transformers``: for models that are no Olmo 3.

Scores come from forward passes over rows of similar length, text from static batches. Nothing in a
batch depends on what else is in it, beyond rounding.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from olmoflow.errors import UserError
from olmoflow.inference.engine import Completion, GenerationRequest, Score, ScoreRequest
from olmoflow.inference.hf.batch import GenerationBatch
from olmoflow.inference.scoring import ScoreBatch, read_scores, score_batches
from olmoflow.tokens.tokenizer import Tokenizer


def open_hf(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    tokenizer: Tokenizer | None = None,
    *,
    batch_tokens: int = 8192,
    max_batch: int = 32,
    max_length: int | None = None,
) -> HFEngine:
    """Load a model folder; the settings are those of `HFEngine`.

    Raises:
        UserError: ``transformers`` cannot load it, or the folder lacks weights, which transformers
            would draw at random.
    """
    # torchao, which transformers imports where it is there, registers what torch knows by now.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as transformers_logging

    loader: Any = AutoModelForCausalLM
    quiet: Any = transformers_logging
    quiet.disable_progress_bar()
    level = quiet.get_verbosity()
    quiet.set_verbosity_error()  # its table of missing weights; they are named below in one line
    try:
        model, report = loader.from_pretrained(
            folder, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # whatever it finds wrong with the folder
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{folder}: transformers cannot load it: {reason}") from error
    finally:
        quiet.set_verbosity(level)
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"{folder}: {len(missing)} of the weights of a {type(model).__name__} are missing, "
            f"such as {missing[0]}; expected a folder with all of them"
        )
    return HFEngine(
        model.to(device).eval(),
        tokenizer,
        batch_tokens=batch_tokens,
        max_batch=max_batch,
        max_length=max_length,
    )


class HFEngine:
    """An `Engine` over a ``transformers`` model.

    Args:
        model: A causal language model, in evaluation mode on its device.
        tokenizer: For texts and stop texts; the model's rows that it has no tokens for pad the
            embedding, and have no share in any probability.
        batch_tokens: Tokens of a forward pass, padding included.
        max_batch: Samples that are generated side by side.
        max_length: Tokens of a prompt and its continuation; None: what the model's config says.

    Raises:
        UserError: The model does not say how long a text may be.
    """

    version = 0

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer | None = None,
        *,
        batch_tokens: int = 8192,
        max_batch: int = 32,
        max_length: int | None = None,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.batch_tokens, self.max_batch = batch_tokens, max_batch
        config = model.config.get_text_config()
        known = getattr(config, "max_position_embeddings", None)
        longest = known if max_length is None else max_length
        if longest is None:
            raise UserError("engine.max_length: missing; the model's config.json names no length")
        for name, value in (
            ("batch_tokens", batch_tokens),
            ("max_batch", max_batch),
            ("max_length", longest),
        ):
            if value < 1:
                raise UserError(f"engine.{name}={value}: expected at least 1")
        if known is not None and longest > known:
            raise UserError(f"engine.max_length={longest}: expected at most the model's {known}")
        self.max_length: int = longest
        rows: int = config.vocab_size
        self.vocab_size = min(tokenizer.vocab_size, rows) if tokenizer else rows
        self._keeps_logits = "logits_to_keep" in inspect.signature(model.forward).parameters

    @torch.inference_mode()
    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Score]]:
        """Log-probabilities of continuations; see `Engine.score`."""
        for batch in score_batches(
            requests,
            max_length=self.max_length,
            vocab_size=self.vocab_size,
            batch_tokens=self.batch_tokens,
        ):
            yield from read_scores(batch, [self._logits(batch)])

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Completion]:
        """Continue prompts in static batches; see `Engine.generate`."""
        samples = (
            (number, request, sample)
            for number, request in enumerate(requests)
            for sample in range(self._checked(number, request).n)
        )
        while group := list(islice(samples, self.max_batch)):
            yield from self._generate(group)

    def update_weights(self, version: int, weights: Mapping[str, Tensor]) -> None:
        """Not here: the weights of an Olmo 3 have no place in any model.

        Raises:
            UserError: Always.
        """
        raise UserError("engine=hf takes no new weights; expected engine=native or vllm")

    def close(self) -> None:
        """Let the model go."""
        self.model = None

    def _logits(self, batch: ScoreBatch) -> Tensor:
        device = self.model.device
        rows, places = batch.rows.to(device), batch.places.to(device)
        given: dict[str, Any] = {"input_ids": batch.input_ids.to(device), "use_cache": False}
        if self._keeps_logits:
            kept, places = torch.unique(places, return_inverse=True)
            given["logits_to_keep"] = kept
        logits: Tensor = self.model(**given).logits
        return logits[rows, places, : self.vocab_size]

    @torch.inference_mode()
    def _generate(self, group: list[tuple[int, GenerationRequest, int]]) -> list[Completion]:
        requests = [request for _, request, _ in group]
        samples = [sample for _, _, sample in group]
        batch = GenerationBatch(self.model, self.tokenizer, requests, samples, self.vocab_size)
        while not batch.done:
            batch.step()
        prompts = self._prompt_logprobs(requests)
        return [
            Completion(
                request=number,
                sample=sample,
                token_ids=row.token_ids,
                logprobs=row.logprobs,
                versions=[0] * len(row.token_ids),
                finish_reason=row.finish_reason or "length",
                text=batch.text(row),
                prompt_logprobs=prompts.get(tuple(request.prompt_ids)),
            )
            for (number, request, sample), row in zip(group, batch.rows, strict=True)
        ]

    def _prompt_logprobs(
        self, requests: Sequence[GenerationRequest]
    ) -> dict[tuple[int, ...], list[float]]:
        prompts = list({tuple(r.prompt_ids) for r in requests if r.prompt_logprobs})
        found: dict[tuple[int, ...], list[float]] = {p: [] for p in prompts if len(p) == 1}
        longer = [p for p in prompts if len(p) > 1]
        for number, score in self.score([ScoreRequest(p[:1], p[1:]) for p in longer]):
            found[longer[number]] = score.logprobs
        return found

    def _checked(self, number: int, request: GenerationRequest) -> GenerationRequest:
        where, length = f"request {number}", len(request.prompt_ids) + request.max_new_tokens
        if not request.prompt_ids:
            raise UserError(f"{where}: the prompt has no tokens; expected at least one")
        for name in ("max_new_tokens", "n"):
            if (value := getattr(request, name)) < 1:
                raise UserError(f"{where}: {name}={value}: expected at least 1")
        if length > self.max_length:
            raise UserError(
                f"{where}: max_new_tokens={request.max_new_tokens}: with the prompt's "
                f"{len(request.prompt_ids)} tokens more than the model's {self.max_length}"
            )
        ids = (*request.prompt_ids, *request.stop_ids)
        if wrong := [i for i in ids if not 0 <= i < self.vocab_size]:
            raise UserError(
                f"{where}: id {wrong[0]} found; expected ids from 0 to {self.vocab_size - 1}"
            )
        if request.stop_texts and self.tokenizer is None:
            raise UserError(f"{where}: stop_texts need a tokenizer, and the engine has none")
        if "" in request.stop_texts:
            raise UserError(f"{where}: stop_texts: an empty text found, which would end everything")
        return request
