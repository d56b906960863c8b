"""One rank of a training run, started from the run folder: ``python -m … RUN_DIR``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from torch.distributed.elastic.multiprocessing.errors import record

from olmoflow.artifact import Input
from olmoflow.commands.build import build
from olmoflow.commands.checkpoints import open_checkpoint
from olmoflow.commands.launch import OUTCOME, die_with_parent
from olmoflow.digests import write_json
from olmoflow.errors import UserError


def train(folder: Path) -> dict[str, Any]:
    """Build everything that the run folder's config names, train, and return the outcome."""
    raise NotImplementedError


@record
def main() -> None:
    """Run as one of several ranks."""
    die_with_parent()
    train(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
