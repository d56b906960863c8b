"""``olmoflow export checkpoint=… target=DIR``: a folder that ``transformers`` loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olmoflow.commands.config.numbers import POSITIVE, check_number
from olmoflow.commands.inputs.checkpoints import find_checkpoint, open_checkpoint, tokenizer_folder
from olmoflow.errors import UserError


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Export a checkpoint; see ``conf/export.yaml`` for the settings."""
    import torch

    from olmoflow.model.finite import finite
    from olmoflow.model.hf import export_hf
    from olmoflow.tokens.chat.spans import closing_ids
    from olmoflow.tokens.tokenizer import load_tokenizer

    dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if config["dtype"] not in dtypes:
        raise UserError(f"dtype={config['dtype']}: expected one of {', '.join(dtypes)}")
    check_number("max_shard_bytes", config["max_shard_bytes"], POSITIVE)
    target = _target(config["target"])
    found = find_checkpoint(config["checkpoint"])
    checkpoint = open_checkpoint(found)
    tokenizer = tokenizer_folder(found)
    if tokenizer is None:
        raise UserError(
            f"checkpoint={config['checkpoint']}: has no tokenizer; "
            "import it with tokenizer_from=DIR"
        )
    export_hf(
        finite(f"checkpoint={config['checkpoint']}", checkpoint.iter_tensors()),
        checkpoint.config,
        target,
        tokenizer=tokenizer,
        dtype=dtypes[config["dtype"]],
        max_shard_bytes=int(float(config["max_shard_bytes"])),
        closing_ids=closing_ids(load_tokenizer(tokenizer)),
    )
    files = sorted(p for p in target.iterdir() if p.is_file())
    return {
        "target": str(target),
        "checkpoint": f"{found.name}@{checkpoint.step}",
        "bytes": sum(p.stat().st_size for p in files),
        "files": [p.name for p in files],
    }


def _target(given: Any) -> Path:
    """The folder to be made.

    Raises:
        UserError: It is none, or is there already.
    """
    if given is None or not str(given).strip():
        raise UserError("target: missing; expected the path of a new folder")
    try:
        target = Path(str(given)).expanduser().absolute()
        there = target.exists()
    except (OSError, RuntimeError) as error:  # too long a name, no such user's home
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"target={given}: {reason}; expected the path of a new folder") from error
    if there:
        raise UserError(f"target={given}: exists already; expected a new folder")
    return target


def report(result: Mapping[str, Any]) -> None:
    """Say what was written."""
    print(
        f"{result['checkpoint']} -> {result['target']}: {len(result['files'])} files, "
        f"{result['bytes'] / 1e6:,.1f} MB"
    )
