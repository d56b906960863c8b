"""Chat templates: Jinja files, rendered as transformers renders them.

The published variants of Olmo 3 are the files of ``templates/``; a model's own template stands with
its tokenizer. Templates come with downloaded models, so they run in Jinja's sandbox, with the
settings and the few functions that transformers' ``apply_chat_template`` gives them, and nothing
else. `ChatTemplate.render` gives the text that it gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.tokenizer import CHAT_TEMPLATE, EOS, Tokenizer

TEMPLATES = Path(__file__).parent / "templates"
_SUFFIX = ".jinja"
_BRACKETED = re.compile(r"<\|\w+\|>")
_DECLARED = re.compile(r"Special tokens:((?:\s+<[^\s>]+>)+)")
_NAMED = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class ChatTemplate:
    """How a conversation is written.

    Attributes:
        name: For messages.
        source: In Jinja.
        tokens: What the template may call by name: ``eos_token`` and the like.
    """

    name: str
    source: str
    tokens: Mapping[str, str] = field(default_factory=lambda: {"eos_token": EOS})

    def render(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The text of a conversation.

        Args:
            messages: Its turns.
            add_generation_prompt: Add how the assistant's next turn begins.
            tools: JSON schemas of functions that may be called.

        Raises:
            UserError: The template refuses, or does what the sandbox forbids.
        """
        try:
            text: str = _compiled(self.source).render(
                messages=[message.as_dict() for message in messages],
                tools=None if tools is None else [*tools],
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self.tokens,
            )
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"template {self.name}: {error}") from error
        return text

    @cached_property
    def special_tokens(self) -> tuple[str, ...]:
        """What the template writes that must be one token: ``<|…|>`` and what it declares."""
        declared = (token for found in _DECLARED.findall(self.source) for token in found.split())
        return tuple(dict.fromkeys([*_BRACKETED.findall(self.source), *declared]))

    def check(self, tokenizer: Tokenizer) -> None:
        """See that a tokenizer has the template's special tokens.

        Raises:
            UserError: It lacks some.
        """
        added = {token.content for token in tokenizer.backend.get_added_tokens_decoder().values()}
        if missing := [token for token in self.special_tokens if token not in added]:
            raise UserError(
                f"template {self.name}: the tokenizer {tokenizer.name} has no "
                f"{', '.join(missing)}; expected one that has the template's special tokens"
            )

    def save(self, folder: Path) -> None:
        """Put the template beside a tokenizer, as its own."""
        (folder / CHAT_TEMPLATE).write_text(self.source, encoding="utf-8")

    def with_tokens_of(self, tokenizer: Tokenizer) -> ChatTemplate:
        """The template with a tokenizer's names of its tokens."""
        return ChatTemplate(self.name, self.source, _named_tokens(tokenizer))


def load_template(name: str) -> ChatTemplate:
    """A published template by its name, or a file.

    Args:
        name: Of a file in ``templates/`` without its ending, or a path that ends in ``.jinja``.

    Raises:
        UserError: There is none such, or it is no Jinja.
    """
    path = Path(name) if name.endswith(_SUFFIX) else TEMPLATES / f"{name}{_SUFFIX}"
    if not name.endswith(_SUFFIX) and name not in template_names():
        raise UserError(
            f"template={name}: expected one of {', '.join(template_names())}, or a path that ends "
            f"in {_SUFFIX}"
        )
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not valid UTF-8"
        raise UserError(f"template={name}: {reason}; expected a file of Jinja") from error
    return _checked(ChatTemplate(name, source))


def own_template(tokenizer: Tokenizer) -> ChatTemplate:
    """The template that stands with a tokenizer.

    Raises:
        UserError: None does, or it is no Jinja.
    """
    source = tokenizer.config.get("chat_template")
    if isinstance(source, list):  # several, by their names, as older files have them
        source = {each["name"]: each["template"] for each in source}.get("default")
    if not isinstance(source, str) or not source:
        raise UserError(
            f"{tokenizer.name}: has no chat template; expected a model that was trained on "
            "conversations"
        )
    return _checked(ChatTemplate(f"of {tokenizer.name}", source, _named_tokens(tokenizer)))


def unshown_functions(messages: Sequence[Message], text: str) -> str | None:
    """What a rendered text lacks of the functions that its messages name; None where nothing.

    Templates leave out what they do not know: `instruct` the functions of a user, `plain` all.
    """
    for place, message in enumerate(messages):
        functions = (message.functions or "").strip()
        if functions not in _NO_FUNCTIONS and functions not in text:
            return f"messages[{place}] names functions, which the template does not show"
    return None


_NO_FUNCTIONS = ("", "[]")


def template_names() -> list[str]:
    """The published templates."""
    return sorted(path.stem for path in TEMPLATES.glob(f"*{_SUFFIX}"))


def _named_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    given = {key: tokenizer.config.get(key) for key in _NAMED}
    return {k: str(t["content"]) if isinstance(t, dict) else t for k, t in given.items() if t}


def _checked(template: ChatTemplate) -> ChatTemplate:
    try:
        _compiled(template.source)
    except jinja2.TemplateSyntaxError as error:
        raise UserError(
            f"template {template.name}: line {error.lineno}: {error.message}"
        ) from error
    return template


@cache
def _compiled(source: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(raise_exception=_raise, strftime_now=_now)
    return environment.from_string(source)


class _Generation(jinja2.ext.Extension):
    """``{% generation %}``, with which templates mark an assistant's words: rendered as it stands.

    We find them without its help, in every template.
    """

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter would escape what HTML minds."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
