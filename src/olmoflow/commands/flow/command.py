"""``olmoflow flow flow=NAME``: the commands of one file, each run once.

Each step runs as a process of its own, exactly as the printed line would from a shell, and finished
artifacts are reused by their keys, so a flow resumes wherever it was cut. Steps that do not wait
for each other run side by side (``jobs=``); a step that fails stops only what depends on it. With
``cluster=slurm`` every step is submitted at once, each after the jobs that it needs.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from olmoflow.commands.flow.steps import Result, Step, parse_steps
from olmoflow.commands.inputs.mixtures import member_names
from olmoflow.commands.main import OF_FLOW
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Run the flow; see ``conf/flow.yaml`` for the settings."""
    flow, jobs = config["flow"], config["jobs"]
    if not isinstance(jobs, int) or jobs < 1:
        raise UserError(f"jobs={jobs}: expected the number of steps that may run at once")
    steps = parse_steps(flow["steps"])
    group = _name(overrides)
    if config.get("cluster", {}).get("name", "local") != "local":
        cluster = [o for o in overrides if o.startswith(("cluster=", "cluster."))]
        return _submit(steps, group, cluster, dry_run=config["dry_run"])
    started = time.monotonic()
    runner = _Runner(steps, group, jobs, text=config["output"] == "text")
    if config["dry_run"]:
        results: dict[str, Result] = {}
        for step in steps:
            runner.announce(step, step.arguments(results, group))
            results[step.name] = {}
    else:
        results = runner.run()
    return {
        "steps": results,
        "seconds": round(time.monotonic() - started, 1),
        "closing": None if config["dry_run"] else flow.get("closing"),
    }


def report(result: Mapping[str, Any]) -> None:
    """Say what comes after the last step, or what was submitted."""
    for job in result.get("submitted", ()):
        print(f"job {job['job_id']}: {job['step']}, {job['run_dir']}")
    if result.get("closing"):
        print(f"\n{result['closing'].rstrip()}")


class _Runner:
    """Runs steps as processes, so many at once, each when what it needs has finished."""

    def __init__(self, steps: Sequence[Step], group: str, jobs: int, *, text: bool) -> None:
        self.steps, self.group, self.jobs, self.text = steps, group, jobs, text
        self.results: dict[str, Result] = {}
        self.failed: dict[str, str] = {}
        self._started = 0
        self._processes: list[subprocess.Popen[str]] = []
        self._stopping = False

    def run(self) -> dict[str, Result]:
        """Run everything that can be run.

        Raises:
            UserError: A step failed; the message names it and what was left out because of it.
        """
        waiting = list(self.steps)
        running: dict[Future[Result], Step] = {}
        with self._told_to_stop(), ThreadPoolExecutor(self.jobs) as pool:
            while waiting or running:
                ready = [s for s in waiting if s.needs <= self.results.keys()]
                for step in ready[: 0 if self._stopping else self.jobs - len(running)]:
                    waiting.remove(step)
                    arguments = step.arguments(self.results, self.group)
                    self.announce(step, arguments)
                    running[pool.submit(self._process, step, arguments)] = step
                if not running:
                    break  # what is left needs what has failed
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._finished(running.pop(future), future)
        if self._stopping:
            raise KeyboardInterrupt
        if self.failed:
            left = f", so {', '.join(s.name for s in waiting)} did not run" if waiting else ""
            failed = "; ".join(f"{name} {how}" for name, how in self.failed.items())
            raise UserError(
                f"flow: step {failed}{left}; the message stands above, and the same command "
                "resumes there"
            )
        return {step.name: self.results[step.name] for step in self.steps}

    def announce(self, step: Step, arguments: Sequence[str]) -> None:
        """Print the step's title and command line."""
        self._started += 1
        print(
            f"\n[{self._started}/{len(self.steps)}] {step.title}\n"
            f"$ {shlex.join(['olmoflow', *arguments])}",
            file=sys.stderr,
            flush=True,
        )

    def _finished(self, step: Step, future: Future[Result]) -> None:
        try:
            result = future.result()
        except _StepFailed as error:
            self.failed[step.name] = str(error)
            return
        self.results[step.name] = result
        jobs = result.get("jobs", ())
        lost = [job for job in jobs if job["status"] != "finished"]
        if lost:
            self.failed[step.name] = f"lost {len(lost)} of its {len(jobs)} jobs"
        if self.text and not jobs:
            module = _module(step.command)
            getattr(module, "report_whole", module.report)(result)
        elif self.text:
            print(f"{len(jobs) - len(lost)} of {len(jobs)} jobs finished, group {result['group']}")
        sys.stdout.flush()

    def _process(self, step: Step, arguments: Sequence[str]) -> Result:
        command = [sys.executable, "-m", "olmoflow", *arguments, "output=json"]
        environment = {**os.environ, OF_FLOW: step.name}
        beside = self.jobs > 1
        if beside:
            threads = max(1, usable_cores() // self.jobs)
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        # Alone, a step has the terminal, and with it a progress bar.
        errors = subprocess.PIPE if beside else None
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process:
            self._processes.append(process)
            if process.stderr is not None:
                # Both are read at once: whichever waited could fill its pipe.
                with ThreadPoolExecutor(1) as reader:
                    assert process.stdout is not None
                    read = reader.submit(process.stdout.read)
                    for line in process.stderr:
                        print(f"{step.name} | {line.rstrip()}", file=sys.stderr, flush=True)
                    out = read.result()
            else:
                assert process.stdout is not None
                out = process.stdout.read()
        self._processes.remove(process)
        result: dict[str, Any] = json.loads(out) if process.returncode == 0 else _jobs_of(out)
        if not result:
            stopped = process.returncode == 130
            how = "was interrupted" if stopped else f"ended with status {process.returncode}"
            raise _StepFailed(how)
        return result

    @contextmanager
    def _told_to_stop(self) -> Iterator[None]:
        """On SIGTERM and Ctrl-C begin nothing more; the steps save what they have and end."""

        def stop(number: int, _: object) -> None:
            self._stopping = True
            # The terminal has told the steps of a Ctrl-C itself.
            for process in self._processes if number == signal.SIGTERM else ():
                process.terminate()

        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _StepFailed(Exception):  # noqa: N818  (its message goes into the flow's own error)
    """How a step ended that left no result."""


def _jobs_of(out: str) -> dict[str, Any]:
    """The result of a sweep of which a part finished; empty if there is none."""
    try:
        result: dict[str, Any] = json.loads(out)
    except ValueError:
        return {}
    some = any(job["status"] == "finished" for job in result.get("jobs", ()))
    return result if some else {}


def _submit(
    steps: Sequence[Step], group: str, cluster: Sequence[str], *, dry_run: bool
) -> dict[str, Any]:
    """Submit every step; each job waits for those that it needs.

    Names are given here, since later steps must know what earlier ones will make.
    """
    results: dict[str, Result] = {}
    jobs: dict[str, list[str]] = {}
    submitted = []
    for number, step in enumerate(steps, 1):
        after = sorted({job for need in step.needs for job in jobs[need]})
        lines = step.cells(results, group)
        results[step.name] = _names(step, lines)
        jobs[step.name] = []
        print(f"\n[{number}/{len(steps)}] {step.title}", file=sys.stderr)
        for command, *arguments in lines:
            # A step's own settings of the cluster win over the flow's.
            line = [command, *cluster, *arguments]
            if after:
                line.append(f"cluster.after=[{','.join(after)}]")
            print(f"$ {shlex.join(['olmoflow', *line])}", file=sys.stderr, flush=True)
            if dry_run:
                jobs[step.name] = [f"<{step.name}>"]
                continue
            for job in _submit_line(step, line):
                jobs[step.name].append(str(job["job_id"]))
                submitted.append({"step": step.name, **job})
    return {"submitted": submitted}


def _submit_line(step: Step, line: Sequence[str]) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "olmoflow", *line, "output=json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise UserError(
            f"flow step {step.name} was not submitted; its message stands above, and the same "
            "command submits what is missing"
        )
    jobs: list[dict[str, Any]] = json.loads(done.stdout)["submitted"]
    return jobs


def _names(step: Step, lines: Sequence[Sequence[str]]) -> Result:
    """What later steps take for the results of a step that has only been submitted."""
    named = [dict(a.partition("=")[::2] for a in line[1:]) for line in lines]
    made = [{"name": settings.get("name", f"<{step.name}>")} for settings in named]
    kinds = {
        **{"tokenize": "shards", "curate": "corpus", "classify": "classifier", "mix": "mixture"},
        **{"score": "logprobs", "evaluate": "evaluation", "report": "report"},
        **{"compare": "report", "extrapolate": "report"},
    }
    kind = kinds.get(step.command, "checkpoint")
    results: list[Result] = [{kind: each["name"]} for each in made]
    if step.command == "mix":
        results = [{**each, "mixtures": _mixtures(step, each["mixture"])} for each in results]
    if len(results) == 1:
        return results[0]
    jobs = [{"status": "finished", "result": result} for result in results]
    return {"group": named[0]["group"], "jobs": jobs}


def _mixtures(step: Step, name: str) -> list[str]:
    """What the mixtures of a step will be called."""
    rule, runs = step.overrides.get("rule", "natural"), step.overrides.get("swarm.runs")
    if rule == "swarm" and not isinstance(runs, int):
        raise UserError(
            f"flow.steps.{step.name}.overrides.swarm.runs={runs}: expected a number under "
            "cluster=slurm, where the jobs of a swarm are submitted before it is drawn"
        )
    return [f"{name}/{member}" for member in member_names(rule, runs)]


def _name(overrides: Sequence[str]) -> str:
    """The flow's name, as it begins those of what it makes."""
    chosen = next((o for o in reversed(overrides) if o.startswith("flow=")), "flow=demo")
    return chosen.removeprefix("flow=").replace("/", "-")


def _module(command: str) -> Any:
    from olmoflow.commands.command_line.hydra_app import command_module

    return importlib.import_module(command_module(command))
