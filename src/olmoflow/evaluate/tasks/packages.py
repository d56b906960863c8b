"""Where packages lie that are read for their data and never imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from olmoflow.errors import UserError


def package_folder(package: str, install: str) -> Path:
    """Where a package lies, without importing it.

    Args:
        package: Its import name.
        install: What pip is to install, for the message.

    Raises:
        UserError: It is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{package} is not installed; expected `pip install --no-deps {install}` (`./just "
            "setup` does it)"
        )
    return Path(next(iter(spec.submodule_search_locations)))
