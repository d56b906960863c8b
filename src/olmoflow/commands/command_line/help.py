"""``olmoflow COMMAND --help``: the command's own YAML file, read aloud.

The root config of a command is its documentation: the comment at its head says what the command
does, its defaults list names the groups, its keys carry comments. Hydra's own help would print
every group of every command and drop the comments.
"""

from __future__ import annotations

import re
from pathlib import Path

_TAIL = """\
All values, composed:   olmoflow {command} --cfg job
A sweep:                olmoflow {command} -m key=1,2,3
Also for every command: name=…  output=json  cluster=slurm [dry_run=true]"""


def command_help(command: str, root: Path) -> str:
    """The help text of a command.

    Args:
        command: Its name.
        root: The folder that holds ``conf/`` and ``experiments/``.
    """
    lines = (root / "conf" / f"{command}.yaml").read_text().splitlines()
    head_end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    head = [line.removeprefix("#").removeprefix(" ") for line in lines[:head_end]]
    keys_start = next(i for i, line in enumerate(lines) if line and line[0].isalpha())
    body_start = next(
        i
        for i in range(keys_start + 1, len(lines))
        if lines[i] and not lines[i].startswith((" ", "-"))
    )
    groups = _groups(command, [line.strip() for line in lines[keys_start + 1 : body_start]], root)
    parts = ["\n".join(head)]
    if groups:
        parts.append("Groups: group=choice (* is the default)\n\n" + "\n".join(groups))
    parts.append("Settings: key=value\n\n" + "\n".join(lines[body_start:]).strip())
    parts.append(_TAIL.format(command=command))
    return "\n\n".join(parts)


def _groups(command: str, defaults: list[str], root: Path) -> list[str]:
    rows = []
    for line in defaults:
        label, _, default = line.removeprefix("- ").partition(": ")
        group = label.partition("@")[0]
        folder = root / "experiments" if group == "experiments" else root / "conf" / group
        if not default or not folder.is_dir():
            continue
        files = of_command(command, sorted(folder.rglob("*.yaml")))
        names = [path.relative_to(folder).with_suffix("") for path in files]
        marked = [f"{n}*" if str(n) == default else str(n) for n in names]
        if default.startswith("${"):
            marked.append(f"(by default {default})")
        rows.append((label, ", ".join(marked) or "none yet"))
    width = max((len(group) for group, _ in rows), default=0)
    return [f"  {group:<{width}}  {choices}" for group, choices in rows]


def of_command(command: str, files: list[Path]) -> list[Path]:
    """The choices of a group that are for this command.

    A file that says ``command: NAME``, or begins with one that does, is for that command alone.
    """
    texts = {path.stem: path.read_text() for path in files}
    owners = {stem: _owner(stem, texts) for stem in texts}
    wanted = command if command in owners.values() else None
    return [path for path in files if owners[path.stem] == wanted]


def _owner(stem: str, texts: dict[str, str]) -> str | None:
    if found := re.search(r"^command: (\w+)", texts[stem], re.MULTILINE):
        return found[1]
    begun = re.findall(r"^  - (\w+)$", texts[stem], re.MULTILINE)
    parents = [name for name in begun if name in texts and name != stem]
    return _owner(parents[0], texts) if parents else None
