"""``olmoflow flow flow=NAME``: the commands of one file, in order, each run once.

A step is a command with its overrides; ``inputs`` hands it what earlier steps made. Each step runs
as a process of its own, exactly as the printed line would from a shell, and finished artifacts are
reused by their keys, so a flow resumes wherever it was cut.
"""

from __future__ import annotations

import importlib
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from olmoflow.commands.main import HYDRA_COMMANDS
from olmoflow.errors import UserError

_FIELDS = {"command", "inputs", "overrides", "title"}


@dataclass(frozen=True)
class Step:
    """One command of a flow."""

    name: str
    title: str
    command: str
    inputs: Mapping[str, str]  # its config key -> the step that made it
    overrides: Mapping[str, Any]

    def arguments(self, results: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Its command line, given the results of the steps before."""
        made = {key: results[step].get(key, f"<{step}>") for key, step in self.inputs.items()}
        return [self.command, *(_argument(k, v) for k, v in {**made, **self.overrides}.items())]


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Run the flow; see ``conf/flow.yaml`` for the settings."""
    flow = config["flow"]
    steps = parse_steps(flow["steps"])
    text = config["output"] == "text"
    results: dict[str, Mapping[str, Any]] = {}
    started = time.monotonic()
    for number, step in enumerate(steps, 1):
        arguments = step.arguments(results)
        line = shlex.join(["olmoflow", *arguments])
        print(f"\n[{number}/{len(steps)}] {step.title}\n$ {line}", file=sys.stderr, flush=True)
        results[step.name] = {} if config["dry_run"] else _run_step(step, arguments)
        if text and not config["dry_run"]:
            module = _module(step.command)
            getattr(module, "report_whole", module.report)(results[step.name])
            sys.stdout.flush()
    return {
        "steps": results,
        "seconds": round(time.monotonic() - started, 1),
        "closing": None if config["dry_run"] else flow.get("closing"),
    }


def report(result: Mapping[str, Any]) -> None:
    """Say what comes after the last step."""
    if result["closing"]:
        print(f"\n{result['closing'].rstrip()}")


def parse_steps(steps: Mapping[str, Mapping[str, Any]]) -> list[Step]:
    """Check the steps of a flow file.

    Raises:
        UserError: A step has an unknown field, an unknown command, or an input that no earlier
            step makes.
    """
    parsed: list[Step] = []
    for name, node in steps.items():
        where = f"flow.steps.{name}"
        for field in node:
            if field not in _FIELDS:
                raise UserError(f"{where}.{field}: expected one of {', '.join(sorted(_FIELDS))}")
        command = node.get("command")
        if command not in HYDRA_COMMANDS:
            raise UserError(f"{where}.command={command}: no such command")
        inputs = node.get("inputs") or {}
        for key, source in inputs.items():
            if source not in [s.name for s in parsed]:
                raise UserError(f"{where}.inputs.{key}={source}: no earlier step has this name")
        parsed.append(
            Step(name, node.get("title") or name, command, inputs, node.get("overrides") or {})
        )
    return parsed


def _run_step(step: Step, arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "olmoflow", *arguments, "output=json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        forward = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            out, _ = process.communicate()
        except KeyboardInterrupt:
            # The terminal has told the step as well; it saves what it has and ends.
            process.wait()
            raise
        finally:
            signal.signal(signal.SIGTERM, forward)
    if process.returncode != 0:
        raise UserError(
            f"flow step {step.name} ended with status {process.returncode}; "
            "its message stands above, and the same command resumes there"
        )
    result: dict[str, Any] = json.loads(out)
    return result


def _module(command: str) -> Any:
    from olmoflow.commands.hydra_app import command_module

    return importlib.import_module(command_module(command))


def _argument(key: str, value: Any) -> str:
    if isinstance(value, str):
        return f"{key}={value}"
    return f"{key}={json.dumps(value)}"
