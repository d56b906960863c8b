"""``olmoflow synthesize pipeline=rewritten``: a corpus whose documents a model writes anew."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.command_line.progress import progress_of_steps
from olmoflow.commands.inputs.checkpoints import tokenizer_folder
from olmoflow.commands.inputs.documents import KEY, longest_document, where_given
from olmoflow.commands.inputs.tokenizers import splits_of
from olmoflow.commands.synthesize.outcome import nothing_left, print_steps, write_report
from olmoflow.commands.synthesize.speakers import Advance, Interview, Role, find_role, said_by
from olmoflow.commands.synthesize.special_tokens import special_tokens_of
from olmoflow.commands.tokenize.conversations import DOWNLOAD, fetched, find_rows
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.synthesize.passage_reader import PassageReader
    from olmoflow.synthesize.passages import Cutter, Passage
    from olmoflow.synthesize.rewrite_report import RewriteRun
    from olmoflow.synthesize.rewriting import Rewriting

WRITER = "writer"
# Passages that are held in memory with their answers; each portion is a transcript of its own.
PORTION = 20_000

_IN_IDENTITY = ("limit", "seed", "max_error_rate", "max_unanswered", KEY)


def run_rewritten(config: Mapping[str, Any]) -> dict[str, Any]:
    """Have a corpus written anew; see ``conf/pipeline/rewritten.yaml``."""
    _check_limits(config)
    role = find_role(WRITER, config[WRITER])
    tokenizer = _tokenizer(config, role)
    rewriting = _rewriting(config, special_tokens_of([role], tokenizer))
    source = find_rows(str(config["corpus"]), "corpus")
    cutter = _cutter(config, tokenizer)
    with claim(
        "corpus",
        command="synthesize",
        config=_identity(config, role, rewriting, tokenizer),
        inputs=[source, *([role.checkpoint] if role.checkpoint else [])],
        name=config["name"],
    ) as work:
        if work.finished is None:
            at = splits_of(fetched(source, work.path / DOWNLOAD))["train"]
            reader = _reader(config, at, cutter, longest_document(config, source))
            work.finish(_work(config, role, rewriting, source, reader, work.path))
    assert work.finished is not None
    return {"corpus": work.finished.name, "path": str(work.path), **work.finished.figures}


def report_rewritten(result: Mapping[str, Any]) -> None:
    """Say what came of the passages, step by step."""
    print_steps(result)
    lengths = {k: v["mean"] for k, v in result["lengths"].items() if k != "unit"}
    print(
        f"{result['lengths']['unit']} on average: passages {lengths['passages']:,}, "
        f"rewrites {lengths['rewrites']:,}"
    )
    print(
        f"corpus {result['corpus']}: {result['documents']['train']:,} documents of "
        f"{result['passages']:,} passages of {result['read']:,} documents"
    )
    print(f"what each step removed: {result['path']}/report.html")


def _check_limits(config: Mapping[str, Any]) -> None:
    least = config["pipeline"]["passages"]["min_characters"]
    for key, value in {"limit": config["limit"], "pipeline.passages.min_characters": least}.items():
        if (key != "limit" or value is not None) and (type(value) is not int or value < 1):
            raise UserError(f"{key}={value}: expected a whole number, at least 1")


def _rewriting(config: Mapping[str, Any], special_tokens: Sequence[str]) -> Rewriting:
    from olmoflow.synthesize.instruction import load_instruction
    from olmoflow.synthesize.rewriting import BLANKS, REWRITING, Rewriting

    settings = config["pipeline"]
    return Rewriting(
        load_instruction(
            str(settings["instruction"]), "pipeline.instruction", BLANKS, folder=REWRITING
        ),
        settings["passage_first"],
        settings["keep_unfinished"],
        settings["min_share"],
        settings["max_overlap"],
        special_tokens,
    )


def _tokenizer(config: Mapping[str, Any], role: Role) -> Path | None:
    """The folder of the tokenizer that counts a passage's tokens; None: none has to."""
    settings = config["pipeline"]["passages"]
    if settings["max_tokens"] is None:
        return None
    if settings["tokenizer"] is not None:
        key = "pipeline.passages.tokenizer"
        return resolve(str(settings["tokenizer"]), key, ["tokenizer"]).path
    folder = None if role.checkpoint is None else tokenizer_folder(role.checkpoint)
    if folder is None:
        raise UserError(
            "pipeline.passages.tokenizer: missing; max_tokens counts tokens, and writer has no "
            "checkpoint whose tokenizer could; expected one, or pipeline.passages.max_tokens=null "
            "pipeline.passages.max_characters=4000"
        )
    return folder


def _cutter(config: Mapping[str, Any], tokenizer: Path | None) -> Cutter:
    from olmoflow.synthesize.passages import Cutter
    from olmoflow.tokens.tokenizer import load_tokenizer

    settings = config["pipeline"]["passages"]
    return Cutter(
        settings["max_tokens"],
        settings["max_characters"],
        None if tokenizer is None else load_tokenizer(tokenizer),
    )


def _identity(
    config: Mapping[str, Any], role: Role, rewriting: Rewriting, tokenizer: Path | None
) -> dict[str, Any]:
    """What makes the documents, apart from the corpus and the checkpoint."""
    from olmoflow.digests import fingerprint

    settings = config["pipeline"]
    counted = None if tokenizer is None else fingerprint(tokenizer)
    told = hashlib.sha256(rewriting.instruction.text.encode()).hexdigest()[:12]
    return {
        **{key: value for key, value in where_given(config).items() if key in _IN_IDENTITY},
        "speakers": said_by({WRITER: role}),
        "pipeline": {
            **settings,
            "passages": {**settings["passages"], "tokenizer": counted},
            "instruction": rewriting.name,
            "told": told,
        },
    }


def _reader(
    config: Mapping[str, Any], path: Path, cutter: Cutter, longest: int | None
) -> PassageReader:
    from olmoflow.synthesize.passage_reader import PassageReader

    least = config["pipeline"]["passages"]["min_characters"]
    rate = float(config["max_error_rate"])
    return PassageReader(path, cutter, least, config["limit"], int(config["seed"]), rate, longest)


def _work(
    config: Mapping[str, Any],
    role: Role,
    rewriting: Rewriting,
    source: Input,
    reader: PassageReader,
    folder: Path,
) -> dict[str, Any]:
    from olmoflow.synthesize.rewrite_report import RewriteRun

    with progress_of_steps(config["runtime"]["progress"]) as advance:
        survey = reader.survey(folder, lambda *at: advance("read", *at))
        run = RewriteRun(survey.count)
        interview = Interview({WRITER: role}, [source], config, advance)
        try:
            passages = _portions(reader.passages(survey.highest))
            _write(rewriting, role, interview, passages, run, folder)
        finally:
            interview.close()
    shutil.rmtree(folder / DOWNLOAD, ignore_errors=True)
    if not run.kept:
        raise UserError(nothing_left("document", run.steps))
    models = {WRITER: role.model}
    write_report(config, run, models, folder)
    return {
        **run.figures(),
        "malformed": survey.malformed,
        "models": models,
        "rollouts": interview.transcripts,
    }


def _write(
    rewriting: Rewriting,
    role: Role,
    interview: Interview,
    portions: Iterator[Sequence[Passage]],
    run: RewriteRun,
    folder: Path,
) -> None:
    """Ask portion by portion, and write what is left of each."""
    from olmoflow.curate.documents import CorpusWriter
    from olmoflow.synthesize.recipe import Removed

    shutil.rmtree(folder / "train", ignore_errors=True)  # of a run that was cut
    total, done, advance = run.count.passages - run.count.over_limit, 0, interview.advance
    with CorpusWriter(folder) as writer:
        for portion in portions:
            interview.advance = _over_all(advance, done, total)
            replies = interview(WRITER, [rewriting.ask(passage) for passage in portion])
            done += len(portion)
            advance(WRITER, done, total)
            for passage, reply in zip(portion, replies, strict=True):
                end = rewriting.end(passage, reply, role.model)
                run.add(passage, end)
                if not isinstance(end, Removed):
                    writer.write("train", end)


def _over_all(advance: Advance, before: int, total: int) -> Advance:
    """Progress of a portion as progress of the whole."""

    def advanced(_: str, done: int, __: int) -> None:
        advance(WRITER, before + done, total)

    return advanced


def _portions(passages: Iterator[Passage]) -> Iterator[Sequence[Passage]]:
    while portion := list(islice(passages, PORTION)):
        yield portion
