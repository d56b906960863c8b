"""The command line: ``olmoflow COMMAND key=value …``.

Standard output carries results and nothing else; logs, bars and errors go to standard error.
Exit status: 0 done, 1 a fault of ours or a failed job, 2 a mistake in the input.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from olmoflow import __version__
from olmoflow.commands.command_line.free_text import take_free_text
from olmoflow.errors import UserError

# Composed by Hydra from conf/COMMAND.yaml.
HYDRA_COMMANDS = {
    "curate": "documents from a source into a corpus",
    "classify": "labelled corpora into a fastText classifier of quality or topics",
    "tokenize": "a corpus into litdata token shards (and a tokenizer, where one is to be trained)",
    "mix": "shards into proportions: natural, fixed, within caps, a swarm, or fitted to one",
    "train": "shards into a checkpoint series: pretrain, midtrain, extend the context",
    "score": "a checkpoint's log-probability of every document: the reference of preference losses",
    "plan": "a training config into memory, time and cost on hardware that need not be there",
    "evaluate": "a checkpoint into scores",
    "compare": "two evaluations into differences with intervals; runs into signal and noise",
    "generate": "text from a checkpoint",
    "synthesize": "conversations into preference pairs: delta learning, judged, of several turns",
    "import": "a Hugging Face or OLMo-core checkpoint into one of ours",
    "merge": "several checkpoints into their weighted mean",
    "export": "a checkpoint into a folder that Hugging Face transformers loads",
    "report": "runs or a sweep into a table with mean ± std over seeds, and plots",
    "extrapolate": "runs of several sizes into a scaling law, and what it says of a larger one",
    "flow": "several commands in one file, each run once",
}
# Plain commands that only look.
PLAIN_COMMANDS = {
    "list": "the artifacts that exist: list [kind=KIND] [output=json]",
    "show": "one artifact: show NAME [--lineage] [--verify] [output=json]",
}

# In the environment of a flow's steps.
OF_FLOW = "OLMOFLOW_OF_FLOW"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    if arguments is None:
        return _leave(main(sys.argv[1:]))
    arguments = list(arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] in ("--version", "version"):
        print(f"olmoflow {__version__}")
        return 0
    return guarded(lambda: _run(arguments[0], arguments[1:]))


def _leave(status: int) -> int:
    if status == 130:
        # A Ctrl-C while a thread starts leaves it unknown to Python, which waits for it forever.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def guarded(work: Callable[[], int]) -> int:
    """Do the work; whatever it raises becomes one line on standard error and an exit status."""
    try:
        return work()
    except UserError as error:
        return _fail(error, 2)
    except KeyboardInterrupt as error:
        # A Ctrl-C reaches a flow and its steps alike, and the flow is the command to be resumed.
        said = OF_FLOW in os.environ
        return 130 if said else _fail(error, 130, "interrupted; the same command resumes")
    except BrokenPipeError:
        # The reader of our output has gone (`olmoflow list | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            return _fail(error, 2, _refused(error))
        hint = "OLMOFLOW_DEBUG=1 shows where"
        return _fail(error, 1, f"{type(error).__name__}: {_first_line(error)} ({hint})")


_REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def _refused(error: OSError) -> str:
    """What the machine refuses is the user's to mend: a full disk, a folder of someone else's."""
    # Files that could not be completed would complain once more when they are forgotten.
    sys.unraisablehook = lambda _: None
    from olmoflow.artifact import home

    reason = os.strerror(error.errno or 0).lower()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "expected room for what this command writes; the same command goes on"
    elif error.errno != errno.EROFS and error.filename and _unreadable(str(error.filename)):
        what = "expected a file or folder that can be read"
    else:
        what = "expected a folder that can be written"
    where = error.filename or f"{home()} (OLMOFLOW_HOME moves it) or the temporary folder"
    return f"{where}: {reason}; {what}"


def _unreadable(path: str) -> bool:
    """Whether it is there and must not be read, or lies in a folder that must not be entered."""
    if os.path.lexists(path):
        return not os.access(path, os.R_OK)
    return not os.access(Path(path).parent, os.X_OK)


def _run(command: str, arguments: list[str]) -> int:
    if command in PLAIN_COMMANDS:
        module = importlib.import_module(f"olmoflow.commands.{command}_")
        module.main(arguments)
        return 0
    if command not in HYDRA_COMMANDS:
        known = [*HYDRA_COMMANDS, *PLAIN_COMMANDS]
        close = get_close_matches(command, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
        raise UserError(f"{command}: no such command; {hint}")
    if {"-h", "--help"} & set(arguments):
        from olmoflow.commands.command_line.help import command_help

        print(command_help(command, config_root()))
        return 0
    # Hydra is only imported here: help and the plain commands stay instant.
    from olmoflow.commands.command_line.hydra_app import run_command

    texts, rest = take_free_text(arguments)
    return run_command(command, rest, texts)


def config_root() -> Path:
    """The folder that holds ``conf/`` and ``experiments/``: the checkout, or inside the wheel."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parents[1]
    return checkout if (checkout / "conf" / "train.yaml").is_file() else package


def print_json(value: Any) -> None:
    """Print the one JSON object that ``output=json`` promises."""
    print(json.dumps(value, ensure_ascii=False, default=str), flush=True)


def _help() -> str:
    width = max(map(len, [*HYDRA_COMMANDS, *PLAIN_COMMANDS]))
    rows = [
        f"  {name:<{width}}  {what}"
        for table in (HYDRA_COMMANDS, PLAIN_COMMANDS)
        for name, what in table.items()
    ]
    return "\n".join(
        [
            "olmoflow COMMAND key=value …",
            "",
            "The Olmo 3 model flow: every command turns artifacts into artifacts.",
            "",
            *rows,
            "",
            "  olmoflow COMMAND --help              its settings and their choices",
            "  olmoflow COMMAND --cfg job           the composed config, nothing run",
            "  olmoflow -m COMMAND a=1,2 b=3,4      a sweep (-m may also come last)",
            "  name=…  output=json  cluster=slurm   hold for every command",
            "",
            "Artifacts live in ./artifacts (OLMOFLOW_HOME moves them).",
        ]
    )


def _fail(error: BaseException, status: int, message: str | None = None) -> int:
    if os.environ.get("OLMOFLOW_DEBUG") == "1":
        traceback.print_exception(error)
    print(f"olmoflow: {message or _first_line(error)}", file=sys.stderr)
    return status


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else "no message"
