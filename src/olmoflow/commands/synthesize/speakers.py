"""The speakers of ``olmoflow synthesize``: config nodes into models, and what they answered.

What a speaker answers to a list of questions is an artifact of its own, named by the speaker and
the questions alone. So other filters, or a larger judge, ask nothing anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Input, claim
from olmoflow.commands.config.build import build, check, locate
from olmoflow.commands.inputs.checkpoints import find_checkpoint, tokenizer_folder
from olmoflow.commands.inputs.engines import open_engine, served_name
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.inference.chat import Question, Reply, Speaker
    from olmoflow.synthesize.recipe import Ask
    from olmoflow.tokens.chat.template import ChatTemplate
    from olmoflow.tokens.tokenizer import Tokenizer

SAMPLING = ("temperature", "top_p", "top_k", "max_new_tokens")
_SETTINGS = ("checkpoint", "template", *SAMPLING)
# How an engine works, not what it says.
_NOT_IN_IDENTITY = frozenset(
    {"concurrency", "timeout", "retries", "backoff", "api_key_env"}
    | {"max_batch", "batch_tokens", "weights_folder"}
)
Advance = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Role:
    """A speaker, not opened yet.

    Attributes:
        name: Where it stands in the config: ``strong``, ``pool.weak.NAME``.
        node: Its settings.
        checkpoint: Of an engine.
        identity: What it says depends on this and nothing else.
        model: Its name for people.
    """

    name: str
    node: Mapping[str, Any]
    checkpoint: Input | None
    identity: Mapping[str, Any]
    model: str

    @property
    def same_as(self) -> tuple[Any, ...]:
        """Equal for two roles of one model, whatever their settings."""
        if self.checkpoint is not None:
            return (self.checkpoint.key, self.checkpoint.step)
        return (str(self.node["engine"]["url"]).rstrip("/"), self.node["engine"]["model"])


def find_role(name: str, node: Mapping[str, Any]) -> Role:
    """Check a speaker's settings and resolve its checkpoint.

    Raises:
        UserError: A setting is unknown, missing, or means nothing to its engine.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("engine"), Mapping):
        raise UserError(f"{name}.engine: missing; expected +engine@{name}.engine=…")
    if unknown := [key for key in node if key not in (*_SETTINGS, "engine")]:
        raise UserError(f"{name}.{unknown[0]}: no such key; expected {', '.join(_SETTINGS)}")
    _check_sampling(name, node)
    engine = node["engine"]
    said = {k: v for k, v in engine.items() if k not in _NOT_IN_IDENTITY}
    if _speaks_messages(name, engine):
        for key in ("checkpoint", "template"):
            if node[key] is not None:
                raise UserError(
                    f"{name}.{key}={node[key]}: a chat endpoint has its own; name its model "
                    f"with {name}.engine.model=…"
                )
        if not engine.get("model"):
            raise UserError(f"{name}.engine.model: missing; expected a model of {engine['url']}")
        check(engine, f"{name}.engine")
        return Role(name, node, None, {"engine": said}, str(engine["model"]))
    if node["checkpoint"] is None:
        raise UserError(f"{name}.checkpoint: missing; give {name}.checkpoint=…")
    checkpoint = find_checkpoint(str(node["checkpoint"]), f"{name}.checkpoint")
    said.pop("url", None)  # a server is asked for this checkpoint by its key
    identity = {
        "engine": said,
        "checkpoint": served_name(checkpoint),
        "template": _template_digest(name, node["template"]),
    }
    step = "" if checkpoint.step is None else f"@{checkpoint.step}"
    return Role(name, node, checkpoint, identity, f"{checkpoint.name}{step}")


def said_by(roles: Mapping[str, Role]) -> dict[str, Any]:
    """What makes what is said: who speaks, and how it is sampled."""
    return {
        name: {"is": role.identity, **{k: v for k, v in role.node.items() if k in SAMPLING}}
        for name, role in roles.items()
    }


def open_speaker(role: Role, runtime: Mapping[str, Any]) -> Speaker:
    """Make a speaker speak.

    Raises:
        UserError: Its model cannot be loaded, or its server is not there.
    """
    if role.checkpoint is None:
        speaker: Speaker = build(role.node["engine"], f"{role.name}.engine")
        return speaker
    from olmoflow.inference.chat.templated import TemplatedSpeaker

    tokenizer, template = template_of(role)  # before a model is loaded in vain
    try:
        engine = open_engine(role.node["engine"], role.checkpoint, runtime)
    except UserError as error:
        raise UserError(f"{role.name}{_of_engine(role, str(error))}") from error
    return TemplatedSpeaker(engine, tokenizer, template)


def template_of(role: Role) -> tuple[Tokenizer, ChatTemplate]:
    """The tokenizer of a speaker with a checkpoint, and the template in which it is asked.

    Raises:
        UserError: One of them is not there, or they do not fit.
    """
    from olmoflow.tokens.chat.template import load_template, own_template
    from olmoflow.tokens.tokenizer import load_tokenizer

    assert role.checkpoint is not None
    folder = tokenizer_folder(role.checkpoint)
    if folder is None:
        raise UserError(f"{role.name}.checkpoint={role.checkpoint.name}: has no tokenizer")
    tokenizer = load_tokenizer(folder)
    name = role.node["template"]
    try:
        template = own_template(tokenizer) if name is None else load_template(str(name))
        template.check(tokenizer)
    except UserError as error:
        raise UserError(f"{role.name}.template: {error}") from error
    return tokenizer, template


@dataclass
class Interview:
    """Puts questions to speakers, of which one at a time is open.

    Attributes:
        roles: By their names.
        inputs: What the questions were made of.
        config: Its seed is that of what is sampled; above max_unanswered, a share of questions
            without an answer, the work stops; runtime is for models that are loaded here.
        advance: Told of the progress.
        transcripts: The artifacts with what was said, in their order.
    """

    roles: Mapping[str, Role]
    inputs: Sequence[Input]
    config: Mapping[str, Any]
    advance: Advance
    transcripts: list[str] = field(default_factory=list)
    _open: tuple[str, Speaker] | None = None

    def __call__(self, name: str, asks: Sequence[Ask]) -> Sequence[Reply]:
        """The replies of a speaker, in the order of the questions."""
        from olmoflow.synthesize.transcript import Transcript, key_of

        role = self.roles[name]
        questions = [self._question(role, ask) for ask in asks]
        keys = hashlib.sha256("".join(map(key_of, questions)).encode()).hexdigest()
        inputs = [*self.inputs, *([role.checkpoint] if role.checkpoint else [])]
        identity = {"speaker": dict(role.identity), "questions": keys}
        with claim("rollouts", command="synthesize", config=identity, inputs=inputs) as work:
            transcript = Transcript(work.path, float(self.config["max_unanswered"]))
            if work.finished is None:
                self._record(role, transcript, questions)
                work.finish(_figures(role, transcript.read(questions)))
        self.transcripts.append(work.name)
        return transcript.read(questions)

    def close(self) -> None:
        """Close the speaker that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _record(self, role: Role, transcript: Any, questions: Sequence[Question]) -> None:
        from olmoflow.synthesize.transcript import key_of

        held = transcript.held()
        complete = all(key_of(question) in held for question in questions)
        speaker = None if complete else self._speaker(role)
        step = f"{role.name} {len(self.transcripts) + 1}"
        try:
            for done, total in transcript.record(questions, held, speaker):
                self.advance(step, done, total)
        except UserError as error:
            raise UserError(f"{role.name}: {error}") from error

    def _speaker(self, role: Role) -> Speaker:
        if self._open is None or self._open[0] != role.name:
            self.close()
            self._open = role.name, open_speaker(role, self.config["runtime"])
        return self._open[1]

    def _question(self, role: Role, ask: Ask) -> Question:
        from olmoflow.inference.chat import Question
        from olmoflow.inference.sampling import Sampling
        from olmoflow.synthesize.prompt import digest_of, draw

        node = role.node
        # Servers take 32 bits with a sign.
        seed = (
            draw(int(self.config["seed"]), f"answer/{ask.seed}", digest_of(ask.messages))
            & 0x7FFFFFFF
        )
        sampling = Sampling(float(node["temperature"]), float(node["top_p"]), node["top_k"])
        return Question(ask.messages, int(node["max_new_tokens"]), sampling, seed)


def _figures(role: Role, replies: Sequence[Reply]) -> dict[str, Any]:
    from olmoflow.inference.chat import Answer, Unaskable

    unaskable = sum(isinstance(reply, Unaskable) for reply in replies)
    answers = [reply for reply in replies if isinstance(reply, Answer)]
    return {
        "model": role.model,
        "questions": len(replies),
        "answers": len(answers),
        "failures": len(replies) - len(answers) - unaskable,
        "unaskable": unaskable,
        "tokens": sum(answer.tokens or 0 for answer in answers),
        "cut": sum(answer.finish_reason == "length" for answer in answers),
    }


def _of_engine(role: Role, message: str) -> str:
    """A message of an engine as one about the engine of a speaker."""
    if message.startswith(("engine.", "engine:", "engine=")):
        return f".{message}"
    setting = message.partition("=")[0]
    return f".engine.{message}" if setting in role.node["engine"] else f": {message}"


def _speaks_messages(name: str, engine: Mapping[str, Any]) -> bool:
    return hasattr(locate(str(engine["_target_"]), f"{name}.engine"), "answer")


def _check_sampling(name: str, node: Mapping[str, Any]) -> None:
    limit = node["max_new_tokens"]
    if type(limit) is not int or limit < 1:
        raise UserError(f"{name}.max_new_tokens={limit}: expected a whole number, at least 1")
    for key, kinds in (("temperature", (int, float)), ("top_p", (int, float))):
        if not isinstance(node[key], kinds) or isinstance(node[key], bool):
            raise UserError(f"{name}.{key}={node[key]}: expected a number")
    from olmoflow.inference.sampling import Sampling

    try:
        Sampling(float(node["temperature"]), float(node["top_p"]), node["top_k"])
    except UserError as error:
        raise UserError(f"{name}.{error}") from error


def _template_digest(role: str, name: Any) -> str | None:
    """Of a template that is named; a tokenizer's own belongs to the checkpoint."""
    if name is None:
        return None
    from olmoflow.tokens.chat.template import load_template

    try:
        source = load_template(str(name)).source
    except UserError as error:
        raise UserError(f"{role}.{error}") from error
    return hashlib.sha256(source.encode()).hexdigest()[:12]
