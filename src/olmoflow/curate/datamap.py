"""A configuration of datamap-rs as the steps of a pipeline of ours.

Its four kinds of files are told apart by their keys: ``pipeline`` (map), ``group_keys`` (group
filter), ``partition_key`` (discrete partition) and ``range_groups`` or ``reservoir_path`` (range
partition). The names and arguments are the same here; what is unknown is an error, where datamap-rs
passes over it. Two arguments of files that Ai2 published are unknown to datamap-rs as well: the
error says which ones were meant.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from olmoflow.curate.pipeline import registry
from olmoflow.curate.pipeline.plan import check_settings
from olmoflow.curate.pipeline.registry import find
from olmoflow.errors import UserError

# What the published files say, and what datamap-rs reads.
_MEANT = {
    ("substring_line_modifier", "max_length"): "max_len",
    ("regex_line_modifier", "regex_string"): "regex",
}
_PIPELINE_KEYS = {"name", "text_field", "pipeline"}
_STEP_KEYS = {"name", "step", "kwargs"}
_FILE_ARGUMENTS = ("banlist_file", "fast_text_file", "cursed_regex_file", "tokenizer_path")
# Arguments of commands over the whole corpus that say how files are cut and held, which the engine
# decides here, or that name what it has anyhow.
_NOT_OURS = {"name", "max_file_size", "num_buckets", "delete_after_read", "size_key"}


def convert_file(path: Path, files: str | None = None) -> list[dict[str, Any]]:
    """The steps that a file of datamap-rs describes.

    Args:
        path: YAML or JSON.
        files: The folder that relative paths in it start from; None: the working folder.

    Raises:
        UserError: It cannot be read, or a name or argument is unknown; it names the step.
    """
    try:
        text = path.read_text()
        config = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"datamap={path}: {error.strerror}; expected a file") from error
    except (ValueError, yaml.YAMLError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({line})") from error
    return convert(config, str(path), files)


def convert(config: Any, where: str, files: str | None = None) -> list[dict[str, Any]]:
    """The steps that a configuration of datamap-rs describes; see `convert_file`."""
    if not isinstance(config, Mapping):
        raise UserError(f"{where}: found {type(config).__name__}, expected a mapping")
    if "pipeline" in config:
        return _map_steps(config, where, files)
    if "group_keys" in config:
        return [_corpus_step("group_filter", config, where)]
    if "partition_key" in config:
        return [_corpus_step("discrete_partition", config, where)]
    if "range_groups" in config or "reservoir_path" in config:
        return [_corpus_step("range_partition", config, where)]
    raise UserError(
        f"{where}: found {', '.join(map(str, config))}; expected pipeline, group_keys, "
        "partition_key or range_groups"
    )


def _map_steps(config: Mapping[str, Any], where: str, files: str | None) -> list[dict[str, Any]]:
    _refuse_unknown(config, _PIPELINE_KEYS, where)
    nodes = config["pipeline"]
    if not isinstance(nodes, list):
        raise UserError(f"{where}: pipeline: expected a list of steps")
    text_field = str(config.get("text_field", "text"))
    return [_map_step(n, node, text_field, where, files) for n, node in enumerate(nodes)]


def _map_step(
    number: int, node: Any, text_field: str, where: str, files: str | None
) -> dict[str, Any]:
    place = f"{where}: step {number}"
    if not isinstance(node, Mapping) or not isinstance(node.get("name"), str):
        raise UserError(f"{place}: expected a mapping with the name of a processor")
    name = node["name"]
    place = f"{place} ({node.get('step') or name})"
    _refuse_unknown(node, _STEP_KEYS, place)
    if name not in registry.map_operations():
        find(name, f"{place}.name")  # raises, unless it is a step over the whole corpus
        raise UserError(f"{place}.name={name}: no processor of datamap-rs")
    entry = find(name, f"{place}.name")
    settings = dict(node.get("kwargs") or {})
    for key in settings:
        if meant := _MEANT.get((name, key)):
            raise UserError(
                f"{place}.{key}: datamap-rs reads {meant} and passes over {key}; "
                f"write {meant} if you mean it, or leave it out to do as datamap-rs does"
            )
    target = entry.load()
    if "text_field" not in inspect.signature(target).parameters:
        settings.pop("text_field", None)  # which datamap-rs gives every processor
    elif text_field != "text":
        settings.setdefault("text_field", text_field)
    settings = check_settings(target, settings, place)
    for key in _FILE_ARGUMENTS:
        if files is not None and isinstance(settings.get(key), str):
            settings[key] = str(Path(files) / settings[key])
    step = {"name": name, **settings}
    return step if node.get("step") is None else {**step, "label": str(node["step"])}


def _corpus_step(name: str, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A step over the whole corpus; how it cuts files is left to the engine."""
    target = find(name, where).load()
    parameters = inspect.signature(target).parameters
    dropped = _NOT_OURS - set(parameters)
    settings = {k: v for k, v in config.items() if k not in dropped and v is not None}
    return {"name": name, **check_settings(target, settings, where)}


def _refuse_unknown(node: Mapping[str, Any], known: set[str], place: str) -> None:
    for key in node:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"expected {', '.join(sorted(known))}"
            raise UserError(f"{place}: {key}: no such key; {hint}")


def to_yaml(steps: list[dict[str, Any]], name: str) -> str:
    """The steps as a file for ``conf/pipeline``."""
    body = {"defaults": ["steps", "_self_"], "name": name, "steps": steps}
    return str(yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100))
