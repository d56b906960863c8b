"""The kinds of a command's own values: settings stay settings, and true or false one of both.

A command's root file says by its defaults what each of its keys holds. Hydra takes anything for
anything: ``runtime=5`` replaces all settings of the runtime by a number, and ``verify=maybe`` is as
good as true to whoever asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from olmoflow.errors import UserError


def check_kinds(config: Mapping[str, Any], file: Path) -> None:
    """Compare the kinds of values with those in a command's root file.

    Args:
        config: Of the command, as plain values.
        file: ``conf/COMMAND.yaml``.

    Raises:
        UserError: A value is of another kind; it names the key.
    """
    _compare(config, yaml.safe_load(file.read_text(encoding="utf-8")), "")


def _compare(config: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str) -> None:
    for name, default in defaults.items():
        if name not in config:  # ``defaults`` and the like
            continue
        key, value = f"{prefix}{name}", config[name]
        if isinstance(default, Mapping):
            if not isinstance(value, Mapping):
                raise UserError(f"{key}={value}: expected settings, such as {_first(key, default)}")
            _compare(value, default, f"{key}.")
        elif isinstance(default, bool) and not isinstance(value, bool):
            raise UserError(f"{key}={value}: expected true or false")


def _first(key: str, settings: Mapping[str, Any]) -> str:
    return f"{key}.{next(iter(settings), 'NAME')}=…"
