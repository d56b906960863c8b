"""A mixture as a file: in the form of ``conf/data``, and in that of OLMo-core.

Ours is a whole ``data=`` choice: put into a ``data/`` folder that ``OLMOFLOW_CONFIG`` names, it is
one by its file's name; ``olmoflow train mixture=…`` reads its sources as they are. OLMo-core's is
the list of sources that its ``SourceMixtureList`` reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from olmoflow.errors import UserError

SOURCE = "olmoflow.tokens.Source"


def write_mixture(
    path: Path, shares: Mapping[str, float], max_repetition: float, about: str = ""
) -> None:
    """Write a mixture in the form of ``conf/data``.

    Args:
        path: The file; its folder exists.
        shares: Proportions by the name of the token shards; none is 0.
        max_repetition: How often a token of a source may be seen.
        about: The comment that it begins with; lines.
    """
    sources = [
        {
            "_target_": SOURCE,
            "shards": name,
            "proportion": share,
            "max_repetition": float(max_repetition),
            "shuffle_chunks": None,
        }
        for name, share in shares.items()
    ]
    node = {"defaults": ["local", "_self_"], "sources": sources}
    comment = "".join(f"# {line}\n" for line in about.splitlines())
    path.write_text(comment + yaml.safe_dump(node, sort_keys=False, allow_unicode=True))


def read_mixture(path: Path) -> list[dict[str, Any]]:
    """The sources of a file in the form of ``conf/data``, each with all its settings.

    Raises:
        UserError: There is no such file, or no list of sources with shards in it.
    """
    try:
        node = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a mixture") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not YAML ({str(error).splitlines()[0]})") from error
    sources = node.get("sources") if isinstance(node, dict) else None
    if not isinstance(sources, list) or not sources:
        raise UserError(f"{path}: has no sources; expected the form of conf/data/local.yaml")
    for number, source in enumerate(sources):
        if not isinstance(source, dict) or not isinstance(source.get("shards"), str):
            raise UserError(f"{path}: sources[{number}] names no shards")
        if source.get("_target_", SOURCE) != SOURCE:
            raise UserError(f"{path}: sources[{number}]._target_: expected {SOURCE}")
    defaults = {"proportion": None, "max_repetition": 1.0, "shuffle_chunks": None}
    return [{"_target_": SOURCE, **defaults, **source} for source in sources]


def write_olmo_core(
    path: Path,
    shares: Mapping[str, float],
    max_repetition: float,
    paths: Mapping[str, Sequence[str]],
) -> None:
    """Write a mixture as OLMo-core's ``SourceMixtureList`` reads it.

    Args:
        path: The file; its folder exists.
        shares: Proportions by domain; they sum to 1.
        max_repetition: How often a token of a source may be seen; at least 1 there.
        paths: By domain, the ``.npy`` files of its tokens, or patterns of them.

    Raises:
        UserError: A domain has no paths.
    """
    for name in shares:
        if not paths.get(name):
            raise UserError(f"paths.{name}: missing; OLMo-core wants the .npy files of each source")
    sources = [
        {
            "source_name": name,
            "target_ratio": share,
            "max_repetition_ratio": max(1.0, float(max_repetition)),
            "paths": list(paths[name]),
        }
        for name, share in shares.items()
    ]
    path.write_text(yaml.safe_dump({"sources": sources}, sort_keys=False, allow_unicode=True))
