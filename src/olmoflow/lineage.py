"""What an artifact was made from, and that from what, back to the first inputs."""

from __future__ import annotations

from dataclasses import dataclass

from olmoflow.artifact import Artifact, Input, open_artifact


@dataclass(frozen=True)
class Ancestor:
    """A node of the lineage: an input and what it was itself made from."""

    input: Input
    artifact: Artifact | None
    parents: list[Ancestor]


def lineage(artifact: Artifact) -> list[Ancestor]:
    """What the artifact was made from, back to the first inputs."""
    nodes = []
    for each in artifact.inputs:
        parent = open_artifact(each.path)
        if parent is not None and parent.key != each.key:
            parent = None  # something else stands in that place now
        nodes.append(Ancestor(each, parent, lineage(parent) if parent else []))
    return nodes
