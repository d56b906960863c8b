"""Composes a command's config with Hydra and runs the command, once or for each cell of a sweep.

Hydra supplies composition, overrides, sweeps, ``--help`` and ``--cfg``. What is added here: the
config becomes plain values before any work starts, every failure is one line, and standard output
carries nothing but results.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from olmoflow import commands
from olmoflow.artifact import check_name
from olmoflow.commands.command_line.groups import READS_GROUPS, file_under, group_name, record_job
from olmoflow.commands.command_line.help import of_command
from olmoflow.commands.config.budget import budget_steps
from olmoflow.commands.config.combinations import (
    data_of,
    nearest_recipes,
    optimizer_of,
    recipe_of,
    why_no_recipe,
)
from olmoflow.commands.config.kinds import check_kinds
from olmoflow.commands.config.ladder import ladder
from olmoflow.commands.launching.slurm.submit import STAYS_HERE, Cell, look_ahead, submit
from olmoflow.commands.launching.slurm.submit import report as report_submission
from olmoflow.commands.main import config_root, print_json
from olmoflow.errors import UserError


def command_module(command: str) -> str:
    """The module that runs a command: `NAME`, or `NAME.command` where the command has a folder."""
    if command == "import":
        return "olmoflow.commands.import_"  # a word of Python's own
    folder = Path(commands.__file__).parent / command
    return f"olmoflow.commands.{command}" + (".command" if folder.is_dir() else "")


def hydra_settings() -> list[str]:
    """Overrides of Hydra's own config that hold for every command.

    ``experiments/`` stands beside ``conf/``, so its parent is searched too, and before it the
    folder that ``OLMOFLOW_CONFIG`` names: a lab's own groups and experiments. Hydra's job log
    would go to standard output, which belongs to the results.
    """
    folders = [os.environ.get("OLMOFLOW_CONFIG"), str(config_root())]
    paths = ",".join(f'"file://{Path(f).absolute()}"' for f in folders if f)
    return [
        f"hydra.searchpath=[{paths}]",
        "hydra/job_logging=none",
        "hydra/hydra_logging=none",
    ]


def prepare() -> None:
    """Set what every composition needs: resolvers and bare errors."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise, so that we word the error
    OmegaConf.register_new_resolver("budget", budget_steps, replace=True)
    OmegaConf.register_new_resolver("recipe_of", recipe_of, replace=True)
    OmegaConf.register_new_resolver("data_of", data_of, replace=True)
    OmegaConf.register_new_resolver("optimizer_of", optimizer_of, replace=True)
    OmegaConf.register_new_resolver("share", share_of_steps, replace=True)
    OmegaConf.register_new_resolver("ladder", ladder, replace=True)
    OmegaConf.register_new_resolver("product", lambda a, b: a * b, replace=True)
    OmegaConf.register_new_resolver("larger", lambda a, b: max(a, b or a), replace=True)
    OmegaConf.register_new_resolver("smaller", min, replace=True)
    OmegaConf.register_new_resolver("choose", choose, replace=True)


def compose(command: str, overrides: Sequence[str]) -> DictConfig:
    """Compose a command's config without running it.

    Raises:
        UserError: The overrides do not fit the command.
    """
    prepare()
    try:
        with hydra.initialize_config_dir(str(config_root() / "conf"), version_base="1.3"):
            return hydra.compose(command, overrides=[*overrides, *hydra_settings()])
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, command, overrides)) from error


def choose(name: str, values: Mapping[str, Any]) -> Any:
    """``${choose:NAME,{a:1,b:2}}``: the value of that name.

    Raises:
        UserError: There is none.
    """
    if name not in values:
        raise UserError(f"{name}: this recipe expects one of {', '.join(values)}")
    return values[name]


def share_of_steps(steps: int, share: float) -> int:
    """``${share:STEPS,SHARE}``: so many of the steps, at least one."""
    return max(1, round(int(steps) * float(share)))


@dataclass
class _Jobs:
    """Runs the command for each composed config and keeps what came of it."""

    command: str
    texts: Mapping[str, str]
    sweep: Sequence[str] | None  # the overrides of the whole sweep, if it is one
    results: list[dict[str, Any]] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    error: Exception | None = None
    json_output: bool = False
    status: int = 0
    group: str | None = None

    def __call__(self, composed: DictConfig) -> None:
        overrides = list(HydraConfig.get().overrides.task)
        given = None if self.command in READS_GROUPS else composed.get("group")
        try:
            choices = HydraConfig.get().runtime.choices
            self.group = group_name(self.command, given, choices.get("experiments"), self.sweep)
            config = plain_config(composed, self.texts)
            check_kinds(config, config_root() / "conf" / f"{self.command}.yaml")
            config["group"] = self.group or config.get("group")
            if config.get("logger", {}).get("name") == "wandb":
                config["logger"] = file_under(config["logger"], self.group, choices, self.sweep)
            self.json_output = _output(config) == "json"
            if config["cluster"]["name"] == "slurm" and self.command not in STAYS_HERE:
                module = importlib.import_module(command_module(self.command))
                cell = look_ahead(self.command, config, overrides, module)
                self.cells.append(cell)
                if cell.finished is not None and self.group is not None:
                    done = {"status": "finished", "result": cell.finished}
                    record_job(self.group, self.command, {"overrides": overrides, **done})
                return
            if config["dry_run"] and self.command != "flow":
                raise UserError("dry_run=true: expected cluster=slurm, whose script it prints")
            if self.sweep is not None:  # else nobody knows whose bar this is
                varied = " ".join(o for o in overrides if o not in self.sweep)
                number = HydraConfig.get().job.num + 1
                print(f"\n[{number}] {varied}", file=sys.stderr, flush=True)
            result = run_composed(self.command, config, overrides)
        except Exception as error:
            # Kept rather than raised: Hydra would add lines of its own, and in a sweep one failed
            # cell must not take the others with it.
            self.error = error
            self.status = max(self.status, 2 if isinstance(error, UserError) else 1)
            self.results.append({"overrides": overrides, "status": "failed", "error": str(error)})
            if self.sweep is not None:
                print(f"olmoflow: {' '.join(overrides)}: {error}", file=sys.stderr)
                if os.environ.get("OLMOFLOW_DEBUG") == "1":
                    traceback.print_exception(error)
        else:
            self.results.append({"overrides": overrides, "status": "finished", "result": result})
        looked = composed.get("dry_run") or self.command in (*READS_GROUPS, "flow")
        if self.group is not None and not looked:
            record_job(self.group, self.command, self.results[-1])


def run_command(command: str, arguments: Sequence[str], texts: Mapping[str, str]) -> int:
    """Run a command from its command line and print its result.

    Args:
        command: A key of ``HYDRA_COMMANDS``.
        arguments: Hydra overrides and flags.
        texts: Free text taken from the command line, set in the config as it is.

    Returns:
        The exit status.
    """
    prepare()
    flags, rest = _flags_first([_readable(argument) for argument in arguments])
    jobs = _Jobs(command, texts, rest if {"-m", "--multirun"} & set(flags) else None)
    sys.argv = [f"olmoflow {command}", *flags, *rest, *hydra_settings()]
    entry = hydra.main(
        version_base="1.3", config_path=str(config_root() / "conf"), config_name=command
    )(_task(jobs))
    try:
        entry()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, command, rest)) from error
    except ValueError as error:
        if mistake := _no_choice(error, rest):
            raise mistake from error
        raise
    if jobs.cells:
        submission = submit(command, jobs.cells)
        if jobs.results:  # cells that cannot run
            submission["failed"] = jobs.results
        print_json(submission) if jobs.json_output else report_submission(submission)
        return jobs.status
    if not jobs.results:  # --cfg
        return 0
    if jobs.sweep is not None:
        if jobs.json_output:
            print_json({"group": jobs.group, "jobs": jobs.results})
        else:
            print(f"group {jobs.group}: olmoflow report group={jobs.group}", file=sys.stderr)
    elif jobs.error:
        raise jobs.error
    elif jobs.json_output:
        print_json(jobs.results[0]["result"])
    return jobs.status


def _readable(argument: str) -> str:
    """Letters beyond ASCII in quotes, as in ``source=/home/jürgen``: Hydra's grammar has none."""
    key, equals, value = argument.partition("=")
    if not equals or value.isascii() or any(c in value for c in "'\"[]{}(),$\\"):
        return argument
    return f'{key}="{value}"'


def _flags_first(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags and the overrides: its parser does not take flags between overrides.

    Raises:
        UserError: A flag is none of Hydra's, which would print its whole usage.
    """
    flags: list[str] = []
    rest: list[str] = []
    for argument in arguments:
        takes_value = bool(flags) and flags[-1] in _FLAGS_WITH_VALUE
        if argument.startswith("-") and argument.partition("=")[0] not in _FLAGS:
            key, _, value = argument.lstrip("-").partition("=")
            setting = f"{key.replace('-', '_')}={value or '…'}"
            raise UserError(
                f"{argument}: no such flag; expected {setting} without a dash, or one of "
                "-m, --cfg job, --help"
            )
        (flags if argument.startswith("-") or takes_value else rest).append(argument)
    return flags, rest


_FLAGS_WITH_VALUE = ("-c", "--cfg", "-p", "--package", "-cd", "--config-dir")
_FLAGS = {*_FLAGS_WITH_VALUE, "-m", "--multirun", "-r", "--run", "--resolve", "--hydra-help"}
_FLAGS |= {"-i", "--info", "-sc", "--shell-completion"}


def run_composed(command: str, config: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Run a command on a plain config."""
    if config.get("name") is not None:  # before work that comes ahead of the artifact's claim
        check_name(config["name"])
    module = importlib.import_module(command_module(command))
    result: dict[str, Any] = module.run(config, list(overrides))
    if _output(config) == "text":
        module.report(result)
    return result


def plain_config(composed: DictConfig, texts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Resolve a composed config into plain values.

    Raises:
        UserError: A value is missing, or a text has no place in this command.
    """
    try:
        config = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(_explain_value(error)) from error
    assert isinstance(config, dict)
    plain = {str(key): value for key, value in config.items()}
    for name, text in (texts or {}).items():
        if name not in plain:
            raise UserError(f"{name}: this command takes no {name}")
        plain[name] = text
    return plain


def explain(error: Exception, command: str, overrides: Sequence[str]) -> str:
    """One line for one of Hydra's errors: the key, what was found, what was expected."""
    text = str(error.__cause__ or error) if not str(error).strip() else str(error)
    if match := re.search(r"Could not find '([^']+)'", text):
        return _explain_choice(match[1], text, command)
    if match := re.search(
        r"Could not override '([^']+)'\.\s*\n?(?:No match in the defaults)", text
    ):
        return f"{match[1]}: no such group in olmoflow {command}; --help lists them"
    if match := re.search(r"(?:Could not override|Error merging override) '?([^\s'=]+)", text):
        key = match[1].lstrip("+~")
        if isinstance(error.__cause__, OmegaConfBaseException) and "struct" not in str(
            error.__cause__
        ):
            return f"{key}: {str(error.__cause__).splitlines()[0]}"
        if below := re.search(rf"full_key: ({re.escape(key)}\.\S+)", f"{error.__cause__}"):
            return f"{below[1]}: no such key in olmoflow {command}; to add one, +{below[1]}=…"
        return f"{key}: no such key in olmoflow {command}{_did_you_mean(key, command, overrides)}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as key=value; {_how_to_write(error.override)}"
    if isinstance(error, OmegaConfBaseException):
        return _explain_value(error)
    return " ".join(text.split())


def _no_choice(error: ValueError, overrides: Sequence[str]) -> UserError | None:
    """The mistake where a group was given something that is no name."""
    if "Config group override must be" not in str(error):
        return None
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        group = key.partition("@")[0]
        named = value != "null" and value[:1].isalpha()
        if (config_root() / "conf" / group).is_dir() and not named:
            return UserError(f"{key}={value}: expected a name; --help lists those of {group}")
    return UserError(" ".join(str(error).split()))


def _how_to_write(override: str | None) -> str:
    """What the shell did to it, most often: it cut the words at spaces and took the quotes away."""
    key, equals, value = (override or "").partition("=")
    if not equals or not key:
        return "expected no spaces around the =, and quotes around what has spaces within"
    if any(value.count(a) != value.count(b) for a, b in ("[]", "{}", "()")):
        return f"a bracket is open; expected quotes around the whole, '{key}=[…, …]'"
    return f"expected two pairs of quotes around text with special characters, '{key}=\"…\"'"


def _explain_choice(choice: str, text: str, command: str) -> str:
    group, _, option = choice.rpartition("/")
    if choice.startswith(("recipe/", "experiments/", "suite/")):
        group, option = choice.split("/", 1)
        folder = config_root() / (group if group == "experiments" else f"conf/{group}")
        known = [p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.yaml")]
    else:
        known = re.findall(r"^\t(\S+)$", text, flags=re.MULTILINE)
        files = sorted((config_root() / "conf" / group).glob("*.yaml"))
        others = {f.stem for f in files} - {f.stem for f in of_command(command, files)}
        known = [name for name in known if name not in others]
    if group == "recipe":
        return _explain_recipe(option, sorted(known), command)
    close = get_close_matches(option, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{group}={option}: {hint}expected one of {', '.join(sorted(known))}"


def _explain_recipe(recipe: str, known: Sequence[str], command: str) -> str:
    near = nearest_recipes(recipe, known)[:_MOST_LISTED]
    rest = "" if len(near) == len(known) else f"; olmoflow {command} --help lists all {len(known)}"
    return f"recipe={recipe}: {why_no_recipe(recipe)}; expected one of {', '.join(near)}{rest}"


_MOST_LISTED = 10


def _did_you_mean(key: str, command: str, overrides: Sequence[str]) -> str:
    others = [o for o in overrides if o.partition("=")[0].lstrip("+~") != key and "=" in o]
    try:
        with hydra.initialize_config_dir(str(config_root() / "conf"), version_base="1.3"):
            composed = hydra.compose(command, overrides=[*others, *hydra_settings()])
    except Exception:  # another override is wrong as well: the hint is not worth a second error
        return ""
    close = get_close_matches(key, list(_keys(composed)), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; olmoflow {command} --help lists them"


def _keys(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, DictConfig):
        return []
    keys: list[str] = []
    for name in node:
        path = f"{prefix}{name!s}"
        child = None if OmegaConf.is_missing(node, name) else node._get_node(name)
        keys += [path, *_keys(child, f"{path}.")]
    return keys


def _explain_value(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None)
    first = str(error).splitlines()[0]
    if own := re.search(r"UserError raised while resolving interpolation: (.*)", first):
        return own[1]  # a resolver's words name the key
    if "Missing mandatory value" in first:
        key = key or first.rpartition(":")[2].strip()
        return f"{key}: missing; give {key}=…"
    return f"{key}: {first}" if key and key not in first else first


def _output(config: Mapping[str, Any]) -> str:
    output = config.get("output")
    if output not in ("text", "json"):
        raise UserError(f"output={output}: expected text or json")
    return str(output)


def _task(jobs: _Jobs) -> Any:
    # hydra.main looks at the task's module and name, which an instance has not.
    def task(config: DictConfig) -> None:
        jobs(config)

    return task
