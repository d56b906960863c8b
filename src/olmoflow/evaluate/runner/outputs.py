"""The files of an evaluated task, in the schema of OLMES, written whole or not at all.

``metrics.json``, ``predictions.jsonl`` (a row an instance) and ``requests.jsonl`` (a row a request)
stand in one folder a task, which appears by rename. From the last two a task can be scored again
without a model. Choices without their question, which OLMES numbers from document 1,000,000 on and
asks last, are there under those numbers; what came of them stands in ``unconditional_output``
beside ``model_output``, and in that as ``sum_logits_uncond``.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from olmoflow.errors import UserError
from olmoflow.evaluate.runner.answers import Answered
from olmoflow.evaluate.runner.summary import TaskSummary
from olmoflow.evaluate.tasks.task import (
    GenerateRequest,
    GenerateResponse,
    Instance,
    InstanceScore,
    LoglikelihoodRequest,
    LoglikelihoodResponse,
    Request,
    Response,
    Task,
)
from olmoflow.evaluation_data import UNCONDITIONAL

METRICS, PREDICTIONS, REQUESTS = "metrics.json", "predictions.jsonl", "requests.jsonl"


def write_task(
    folder: Path,
    task: Task,
    summary: TaskSummary,
    rows: Sequence[tuple[Answered, InstanceScore | None]],
    about: Mapping[str, Any],
) -> None:
    """Write the files of a task.

    Args:
        folder: Appears whole; what stood there is replaced.
        task: The task.
        summary: Its result.
        rows: Each instance with its score.
        about: Further fields of ``metrics.json``: ``model_hash``, ``model_config``, …
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    hashes = {"task_hash": summary.task_hash, "model_hash": about["model_hash"]}
    _write_lines(partial / PREDICTIONS, (_prediction(a, s) | hashes for a, s in rows))
    _write_lines(partial / REQUESTS, _requests(task, [answered.instance for answered, _ in rows]))
    metrics = _metrics_file(task, summary, len(rows), about)
    (partial / METRICS).write_text(json.dumps(metrics, indent=2, default=str) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def read_summary(folder: Path) -> tuple[TaskSummary, dict[str, Any]]:
    """The result of an evaluated task, and the whole of its ``metrics.json``."""
    found = json.loads((folder / METRICS).read_text())
    metrics = dict(found["metrics"])
    metrics.pop("primary_score", None)
    summary = TaskSummary(
        name=found["task_name"],
        task_hash=found["task_hash"],
        primary_metric=found["primary_metric"],
        higher_is_better=found["higher_is_better"],
        score=found["metrics"].get("primary_score"),
        stderr=found["stderr"].get(found["primary_metric"]),
        n=found["num_scored"],
        metrics=metrics,
        stderrs=found["stderr"],
        outcomes=found["outcomes"],
        error=found["error"],
    )
    return summary, found


def read_predictions(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of ``predictions.jsonl``."""
    path = folder / PREDICTIONS
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: no JSON object ({error.msg})") from error


def read_answered(folder: Path, instances: Sequence[Instance]) -> list[Answered]:
    """The stored responses to instances.

    Raises:
        UserError: An instance was not asked then, or was asked something else.
    """
    asked = _asked(folder / REQUESTS)
    stored = {row["doc_id"]: row for row in read_predictions(folder)}
    answered = []
    for instance in instances:
        row = stored.get(instance.doc_id)
        if row is None:
            raise UserError(
                f"recompute: {folder.name} has no answers to instance {instance.doc_id}; expected "
                "the limit that it was evaluated with"
            )
        if asked[instance.doc_id] != [_request(request) for request in instance.requests]:
            raise UserError(
                f"recompute: {folder.name} asks instance {instance.doc_id} something else now; "
                "evaluate it anew"
            )
        if row["error"] is not None:
            answered.append(Answered(instance, None, row["error"]))
            continue
        outputs = row["model_output"] + row.get("unconditional_output", [])
        responses = [_response(r, o) for r, o in zip(instance.requests, outputs, strict=True)]
        answered.append(Answered(instance, tuple(responses)))
    return answered


def _metrics_file(
    task: Task, summary: TaskSummary, instances: int, about: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "task_name": summary.name,
        "task_hash": summary.task_hash,
        **about,
        "task_config": dict(task.config),
        "current_date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "num_instances": instances,
        "num_scored": summary.n,
        "primary_metric": summary.primary_metric,
        "higher_is_better": summary.higher_is_better,
        "metrics": {**summary.metrics, "primary_score": summary.score},
        "stderr": dict(summary.stderrs),
        "outcomes": dict(summary.outcomes),
        "error": summary.error,
    }


def _prediction(answered: Answered, score: InstanceScore | None) -> dict[str, Any]:
    instance = answered.instance
    row: dict[str, Any] = {
        "doc_id": instance.doc_id,
        "native_id": instance.native_id,
        "metrics": None if score is None else dict(score.metrics),
        "model_output": [],
        "label": instance.label,
        "outcomes": {} if score is None else dict(score.outcomes),
        "error": answered.error,
    }
    if answered.responses is not None:
        row |= _outputs(instance.requests, answered.responses)
    if score is not None and score.extracted:
        row["model_answer"] = list(score.extracted)
    return row


def _outputs(
    requests: Sequence[Request], responses: Sequence[Response]
) -> dict[str, list[dict[str, Any]]]:
    pairs = list(zip(requests, responses, strict=True))
    asked = [_output(*pair) for pair in pairs if not _is_unconditional(pair[0])]
    alone = [_output(*pair) for pair in pairs if _is_unconditional(pair[0])]
    if not alone:
        return {"model_output": asked}
    for output, by_itself in zip(asked, alone, strict=True):
        output["sum_logits_uncond"] = by_itself["sum_logits"]
    return {"model_output": asked, "unconditional_output": alone}


def _is_unconditional(request: Request) -> bool:
    return isinstance(request, LoglikelihoodRequest) and request.unconditional


def _output(request: Request, response: Response) -> dict[str, Any]:
    if isinstance(response, GenerateResponse):
        return asdict(response)
    assert isinstance(request, LoglikelihoodRequest)
    characters = len(request.continuation)
    size = len(request.continuation.encode())
    return {
        **asdict(response),
        "logits_per_token": response.sum_logits / max(1, response.num_tokens),
        "logits_per_char": response.sum_logits / max(1, characters),
        "bits_per_byte": -response.sum_logits / math.log(2) / max(1, size),
        "num_chars": characters,
    }


def _response(request: Request, output: Mapping[str, Any]) -> Response:
    if isinstance(request, GenerateRequest):
        return GenerateResponse(
            continuations=tuple(output["continuations"]),
            sum_logits=tuple(output["sum_logits"]),
            num_tokens=tuple(output["num_tokens"]),
            stopped=tuple(output["stopped"]),
            truncated=output["truncated"],
        )
    return LoglikelihoodResponse(
        sum_logits=output["sum_logits"],
        num_tokens=output["num_tokens"],
        num_tokens_all=output["num_tokens_all"],
        is_greedy=output["is_greedy"],
        truncated=output["truncated"],
    )


def _requests(task: Task, instances: Sequence[Instance]) -> Iterator[dict[str, Any]]:
    pairs = [(instance, request) for instance in instances for request in instance.requests]
    for instance, request in sorted(pairs, key=lambda pair: _is_unconditional(pair[1])):
        generates = isinstance(request, GenerateRequest)
        yield {
            "request_type": "generate_until" if generates else "loglikelihood",
            "doc": dict(instance.doc),
            "request": _request(request),
            "idx": request.idx,
            "task_name": task.name,
            "doc_id": instance.doc_id + UNCONDITIONAL * _is_unconditional(request),
            "native_id": instance.native_id,
            "label": instance.label,
        }


def _request(request: Request) -> dict[str, Any]:
    if isinstance(request, LoglikelihoodRequest):
        return {"context": request.context, "continuation": request.continuation}
    return {
        "context": request.context,
        "stop_sequences": list(request.stop_sequences),
        "generation_kwargs": {
            "max_gen_toks": request.max_new_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "do_sample": request.temperature > 0,
            "repeats": request.samples,
        },
    }


def _asked(path: Path) -> dict[int, list[dict[str, Any]]]:
    asked: dict[int, list[dict[str, Any]]] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            asked.setdefault(row["doc_id"] % UNCONDITIONAL, []).append(row["request"])
    return asked


def _write_lines(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        file.flush()
        os.fsync(file.fileno())
