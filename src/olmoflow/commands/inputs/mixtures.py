"""Mixtures as artifacts: the one that a reference names, and what its members are called.

A mixture artifact holds one mixture or several, ``mixtures/MEMBER.yaml`` each, in the form of
``conf/data``. ``NAME/MEMBER`` names one of them, ``NAME`` the only one; a path is a file of
somebody's own in the same form.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, home, resolve
from olmoflow.digests import fingerprint
from olmoflow.errors import UserError

FOLDER = "mixtures"


@dataclass(frozen=True)
class FoundMixture:
    """A mixture that a reference names.

    Attributes:
        inputs: The artifact or file, for the lineage.
        sources: Its sources, as `olmoflow.tokens.Source` takes them.
        member: Which of the artifact's mixtures it is.
    """

    inputs: list[Input]
    sources: list[dict[str, Any]]
    member: str


def find_mixture(reference: Any, role: str = "mixture") -> FoundMixture:
    """The mixture that the user named.

    Raises:
        UserError: Nothing answers to the reference, or several do.
    """
    from olmoflow.curate.mixing.files import read_mixture

    path = Path(str(reference))
    name, _, member = str(reference).partition("/")
    if path.is_file() and not (home() / "mixture" / name).exists():
        found = Input(role, "external", path.name, fingerprint(path), path.absolute())
        return FoundMixture([found], read_mixture(path), path.stem)
    found = resolve(name if member else str(reference), role, ["mixture"])
    members = sorted(file.stem for file in (found.path / FOLDER).glob("*.yaml"))
    if not member and len(members) == 1:
        member = members[0]
    if member not in members:
        shown = ", ".join(members[:12]) + (" …" if len(members) > 12 else "")
        raise UserError(f"{role}={reference}: expected {found.name}/MEMBER, one of {shown}")
    return FoundMixture([found], read_mixture(found.path / FOLDER / f"{member}.yaml"), member)


def member_names(rule: str, runs: int | None) -> list[str]:
    """What the mixtures of a rule are called.

    Args:
        rule: Of ``olmoflow mix``.
        runs: Size of a swarm.
    """
    if rule == "swarm":
        return [f"{number:03d}" for number in range(runs or 0)]
    return ["prior", "proposal"] if rule == "fitted" else [rule]
