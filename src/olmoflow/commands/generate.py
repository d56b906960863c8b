"""``olmoflow generate checkpoint=… prompt="…"``: a prompt continued, streamed as it is sampled."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from olmoflow.commands.checkpoints import find_checkpoint, load_model
from olmoflow.errors import UserError


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Generate; see ``conf/generate.yaml`` for the settings."""
    if (config["prompt"] is None) == (config["prompt_ids"] is None):
        raise UserError("prompt: expected either prompt=… (or prompt_file=…) or prompt_ids=[…]")
    loaded = load_model(find_checkpoint(config["checkpoint"]), config["runtime"])
    from olmoflow.inference import Sampling, generate
    from olmoflow.tokens.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(loaded.tokenizer) if loaded.tokenizer else None
    if config["prompt"] is not None:
        if tokenizer is None:
            raise UserError(
                f"prompt: checkpoint {config['checkpoint']} has no tokenizer; use prompt_ids=[…]"
            )
        prompt_ids = tokenizer.encode(str(config["prompt"]))
    else:
        prompt_ids = _token_ids(config["prompt_ids"])
    stream = _Stream(tokenizer, prompt_ids) if config["output"] == "text" else None
    generation = generate(
        loaded.model,
        prompt_ids,
        max_new_tokens=config["max_new_tokens"],
        sampling=Sampling(config["temperature"], config["top_p"], config["top_k"]),
        seed=config["seed"],
        stop_ids=[tokenizer.eos_id] if tokenizer and config["stop_at_eos"] else [],
        vocab_size=tokenizer.vocab_size if tokenizer else None,
        on_token=stream,
    )
    new = generation.token_ids
    return {
        "prompt_ids": prompt_ids,
        "token_ids": new,
        "text": tokenizer.decode(new, skip_special_tokens=True) if tokenizer else None,
        "logprobs": generation.logprobs,
        "finish_reason": generation.finish_reason,
    }


def report(result: Mapping[str, Any]) -> None:
    """End the streamed line; the text itself has been printed token by token."""
    print(flush=True)


def report_whole(result: Mapping[str, Any]) -> None:
    """Show a text that another process sampled, as in a flow."""
    print(result["text"])


class _Stream:
    """Prints the prompt, then what each token adds, holding back incomplete UTF-8 characters."""

    def __init__(self, tokenizer: Any, prompt_ids: list[int]) -> None:
        self.tokenizer = tokenizer
        self.ids: list[int] = list(prompt_ids)
        self.printed = 0
        self._print(self.ids)

    def __call__(self, token_id: int, *_: Any) -> None:
        self.ids.append(token_id)
        self._print(self.ids)

    def _print(self, ids: list[int]) -> None:
        if self.tokenizer is None:
            sys.stdout.write(" ".join(map(str, ids[self.printed :])) + " ")
            self.printed = len(ids)
        else:
            text = self.tokenizer.decode(ids)
            if text.endswith("\N{REPLACEMENT CHARACTER}"):
                return
            sys.stdout.write(text[self.printed :])
            self.printed = len(text)
        sys.stdout.flush()


def _token_ids(value: Any) -> list[int]:
    if isinstance(value, list) and value and all(type(v) is int for v in value):
        return value
    raise UserError(f"prompt_ids={value}: expected a list of token ids, such as [1,2,3]")
