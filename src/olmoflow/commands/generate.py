"""``olmoflow generate checkpoint=… prompt="…"``: a prompt continued, streamed as it is sampled."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from olmoflow.commands.inputs.checkpoints import find_checkpoint, load_model
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.inference.engine import Completion, GenerationRequest
    from olmoflow.inference.native import NativeEngine
    from olmoflow.tokens.tokenizer import Tokenizer

_CUT_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Generate; see ``conf/generate.yaml`` for the settings."""
    if (config["prompt"] is None) == (config["prompt_ids"] is None):
        raise UserError("prompt: expected either prompt=… (or prompt_file=…) or prompt_ids=[…]")
    _check_settings(config)
    stops = _texts(config["stop"])
    engine, tokenizer = _open(config)
    request = _request(config, tokenizer, stops)
    _check_ids(request, engine.vocab_size)
    _check_length(request, engine.max_length)
    streams = config["output"] == "text" and request.n == 1
    stream = _Stream(tokenizer, request.prompt_ids, stops) if streams else None
    samples = sorted(engine.generate([request], on_token=stream), key=lambda each: each.sample)
    if stream:
        stream.finish()
    if not _all_numbers(samples):
        if stream:
            print(flush=True)
        raise UserError(
            "checkpoint: the model computes NaN or no probability at all; its weights may be "
            "damaged, or too large for its dtype"
        )
    shown = [
        {
            "token_ids": each.token_ids,
            "text": each.text,
            "logprobs": each.logprobs,
            "finish_reason": each.finish_reason,
        }
        for each in samples
    ]
    return {"prompt_ids": list(request.prompt_ids), **shown[0], "samples": shown}


def report(result: Mapping[str, Any]) -> None:
    """End the streamed line, whose text has been printed token by token; or show all samples."""
    if len(result["samples"]) > 1:
        report_whole(result)
    else:
        print(flush=True)


def report_whole(result: Mapping[str, Any]) -> None:
    """Show texts that another process sampled, as in a flow."""
    for number, sample in enumerate(result["samples"]):
        text = sample["text"]
        text = " ".join(map(str, sample["token_ids"])) if text is None else text
        print(f"[{number}] {text}" if len(result["samples"]) > 1 else text)


def _open(config: Mapping[str, Any]) -> tuple[NativeEngine, Tokenizer | None]:
    # Packed piece by piece on its way: the whole model may be more than the device holds.
    packed = config["quantize"] != "none"
    found = find_checkpoint(config["checkpoint"])
    loaded = load_model(found, config["runtime"], in_main_memory=packed)
    from olmoflow.inference.native import NativeEngine
    from olmoflow.tokens.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(loaded.tokenizer) if loaded.tokenizer else None
    if config["prompt"] is not None and tokenizer is None:
        raise UserError(
            f"prompt: checkpoint {config['checkpoint']} has no tokenizer; use prompt_ids=[…]"
        )
    if config["stop"] and tokenizer is None:
        raise UserError(
            f"stop: checkpoint {config['checkpoint']} has no tokenizer, so it says no texts; "
            "expected none"
        )
    engine = NativeEngine(
        loaded.model, tokenizer=tokenizer, device=loaded.device, quantize=config["quantize"]
    )
    return engine, tokenizer


def _request(
    config: Mapping[str, Any], tokenizer: Tokenizer | None, stops: tuple[str, ...]
) -> GenerationRequest:
    from olmoflow.inference import Sampling
    from olmoflow.inference.engine import GenerationRequest

    return GenerationRequest(
        _prompt_ids(config, tokenizer),
        config["max_new_tokens"],
        Sampling(config["temperature"], config["top_p"], config["top_k"]),
        n=config["n"],
        seed=config["seed"],
        stop_ids=_ends(config, tokenizer),
        stop_texts=stops,
    )


def _prompt_ids(config: Mapping[str, Any], tokenizer: Tokenizer | None) -> list[int]:
    if tokenizer is None or config["prompt"] is None:
        if config["chat"]:
            raise UserError("chat=true: prompt_ids are taken as they stand; expected prompt=…")
        return _token_ids(config["prompt_ids"])
    prompt = str(config["prompt"])
    if config["chat"]:
        from olmoflow.tokens.chat.conversation import Message
        from olmoflow.tokens.chat.template import own_template

        said = [Message("user", prompt)]
        prompt = own_template(tokenizer).render(said, add_generation_prompt=True)
    return tokenizer.encode(prompt)


def _ends(config: Mapping[str, Any], tokenizer: Tokenizer | None) -> frozenset[int]:
    """The tokens that end a sample: a document's end, and in conversation a turn's."""
    if tokenizer is None or not config["stop_at_eos"]:
        return frozenset()
    from olmoflow.tokens.chat.spans import closing_ids

    return frozenset({tokenizer.eos_id}) | (closing_ids(tokenizer) if config["chat"] else set())


def _check_settings(config: Mapping[str, Any]) -> None:
    """Refuse settings of another type before a model is loaded."""
    for key, kinds, expected in (
        ("max_new_tokens", (int,), "a number of tokens"),
        ("n", (int,), "a number of samples"),
        ("seed", (int,), "a whole number"),
        ("temperature", (int, float), "a number"),
        ("top_p", (int, float), "a number"),
        ("top_k", (int, type(None)), "a number of tokens, or null for all"),
        ("chat", (bool,), "true or false"),
        ("stop_at_eos", (bool,), "true or false"),
    ):
        if type(config[key]) not in kinds:
            raise UserError(f"{key}={config[key]}: expected {expected}")
    for key in ("max_new_tokens", "n"):
        if config[key] < 1:
            raise UserError(f"{key}={config[key]}: expected at least 1")


def _check_ids(request: GenerationRequest, vocab_size: int) -> None:
    """Refuse tokens that the model lacks before any of the prompt is shown."""
    for place, token in enumerate(request.prompt_ids):
        if not 0 <= token < vocab_size:
            raise UserError(f"prompt_ids[{place}]={token}: expected ids from 0 to {vocab_size - 1}")


def _check_length(request: GenerationRequest, longest: int) -> None:
    """Refuse what the model cannot take, in the command's own words."""
    known, new = len(request.prompt_ids), request.max_new_tokens
    if not known:
        raise UserError("prompt: empty; expected some text to continue")
    if known >= longest:
        raise UserError(
            f"prompt: has {known:,} tokens; the model takes {longest:,} with the answer"
        )
    if known + new > longest:
        raise UserError(
            f"max_new_tokens={new}: with the prompt's {known:,} tokens more than the {longest:,} "
            f"that the model takes; expected at most {longest - known:,}"
        )


def _all_numbers(samples: Sequence[Completion]) -> bool:
    """Whether the model computes numbers: of NaN any token is the likeliest."""
    return all(math.isfinite(value) for each in samples for value in each.logprobs)


class _Stream:
    """Prints the prompt, then what each token adds.

    Held back until more is known: incomplete UTF-8 characters, and what may become a stop text.
    """

    def __init__(
        self, tokenizer: Tokenizer | None, prompt_ids: Sequence[int], stops: Sequence[str]
    ) -> None:
        self.tokenizer, self.stops = tokenizer, stops
        self.ids: list[int] = list(prompt_ids)  # those whose text is not known yet
        self.text = ""
        self.printed = 0
        self.prompt: int | None = None  # characters of the prompt, once they are known
        self._print(hold_back=False)
        self.prompt = self.printed

    def __call__(self, request: int, sample: int, token_id: int) -> None:
        if self.tokenizer and not self.tokenizer.decode([token_id], skip_special_tokens=True):
            return  # the end of a document or of a turn, which is no text
        self.ids.append(token_id)
        self._print(hold_back=True)

    def finish(self) -> None:
        """Nothing comes any more: print what was held back, up to a stop text."""
        self._print(hold_back=False)

    def _print(self, *, hold_back: bool) -> None:
        # Only what is new: decoding all of it for each token takes minutes for a long answer.
        new = (
            self.tokenizer.decode(self.ids)
            if self.tokenizer
            else "".join(f"{token} " for token in self.ids)
        )
        if hold_back and new.endswith(_CUT_CHARACTER):
            return
        self.ids, self.text = [], self.text + new
        end = self._end(self.text, hold_back)
        sys.stdout.write(self.text[self.printed : end])
        self.printed = max(end, self.printed)
        sys.stdout.flush()

    def _end(self, text: str, hold_back: bool) -> int:
        """Up to where the text may be shown."""
        if self.prompt is None:  # a stop text in the prompt stops nothing
            return len(text)
        places = [text.find(stop, self.prompt) for stop in self.stops]
        if any(place >= 0 for place in places):
            return min(place for place in places if place >= 0)
        if not hold_back:
            return len(text)
        begun = (
            length
            for stop in self.stops
            for length in range(len(stop) - 1, 0, -1)
            if text.endswith(stop[:length])
        )
        return len(text) - max(begun, default=0)


def _token_ids(value: Any) -> list[int]:
    if isinstance(value, list) and value and all(type(v) is int for v in value):
        return value
    raise UserError(f"prompt_ids={value}: expected a list of token ids, such as [1,2,3]")


def _texts(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if isinstance(values, list) and all(isinstance(v, str) and v for v in values):
        return tuple(values)
    raise UserError(f'stop={value}: expected texts, such as ["Question:"]')
