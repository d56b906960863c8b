"""``olmoflow show NAME [--lineage] [--verify] [output=json]``: one artifact, whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from olmoflow.artifact import Artifact, find, verify
from olmoflow.commands.command_line.plain import parse_plain
from olmoflow.commands.list_ import number_text
from olmoflow.commands.main import print_json
from olmoflow.lineage import Ancestor, lineage


def main(arguments: Sequence[str]) -> None:
    """Print the artifact."""
    options = parse_plain(
        arguments,
        words=1,
        flags=("--lineage", "--verify"),
        values={"output": ("text", "json")},
    )
    artifact = find(options.words[0])
    if "--verify" in options.flags:
        verify(artifact)
    nodes = lineage(artifact)
    if options.json_output:
        record = {**artifact.provenance, "path": str(artifact.path), "lineage": _records(nodes)}
        print_json(record)
    elif "--lineage" in options.flags:
        _print_lineage(artifact, nodes)
    else:
        _print_artifact(artifact)


def _records(nodes: Sequence[Ancestor]) -> list[dict[str, Any]]:
    return [{**n.input.record(), "inputs": _records(n.parents)} for n in nodes]


def _print_artifact(artifact: Artifact) -> None:
    provenance = artifact.provenance
    git = provenance["git"]
    commit = f"{git['commit'][:12]}{' + changes' if git['dirty'] else ''}" if git else "none"
    print(f"{artifact.kind} {artifact.name}   key {artifact.key}")
    print(f"  path      {artifact.path}")
    print(f"  created   {provenance['created']} in {number_text(provenance['seconds'])} s")
    print(f"  command   olmoflow {provenance['command']}   commit {commit}")
    for each in artifact.inputs:
        step = "" if each.step is None else f"@{each.step}"
        print(f"  from      {each.role} = {each.kind} {each.name}{step}")
    for name, value in artifact.figures.items():
        print(f"  {name}: {number_text(value)}")


def _print_lineage(artifact: Artifact, nodes: Sequence[Ancestor]) -> None:
    from rich.console import Console
    from rich.tree import Tree

    tree = Tree(f"{artifact.kind} [bold]{artifact.name}[/bold] {artifact.key}")
    _grow(tree, nodes)
    Console().print(tree)


def _grow(tree: Any, nodes: Sequence[Ancestor]) -> None:
    for node in nodes:
        step = "" if node.input.step is None else f"@{node.input.step}"
        gone = "" if node.artifact or node.input.kind == "external" else " (gone or replaced)"
        label = (
            f"{node.input.role}: {node.input.kind} [bold]{node.input.name}{step}[/bold] "
            f"{node.input.key}{gone}"
        )
        _grow(tree.add(label), node.parents)
