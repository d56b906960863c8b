"""All map operations, by the names that datamap-rs gives them.

Each is a dataclass whose fields are its arguments. A class is imported when it is asked for, so
that a list of names costs nothing.
"""

from __future__ import annotations

import difflib
import importlib
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from olmoflow.curate.operations.operation import Operation
from olmoflow.errors import UserError

_PLACES = {
    # Filters.
    "non_null_filter": "length.NonNullFilter",
    "text_len_filter": "length.TextLenFilter",
    "page_len_filter": "length.PageLenFilter",
    "word_len_filter": "length.WordLenFilter",
    "word_removal_ratio_filter": "length.WordRemovalRatioFilter",
    "symbol_ratio_filter": "symbols.SymbolRatioFilter",
    "bullet_filter": "symbols.BulletFilter",
    "ellipsis_line_ratio_filter": "symbols.EllipsisLineRatioFilter",
    "alphabetic_word_ratio_filter": "symbols.AlphabeticWordRatioFilter",
    "stop_word_filter": "symbols.StopWordFilter",
    "massive_web_repetition_filter": "repetition.MassiveWebRepetitionFilter",
    "ngram_repetition_filter": "repetition.NgramRepetitionFilter",
    "url_substring_filter": "urls.UrlSubstringFilter",
    "regex_text_filter": "patterns.RegexTextFilter",
    "float_filter": "fields.FloatFilter",
    "string_eq_filter": "fields.StringEqFilter",
    "subsample": "identity.Subsample",
    "madlad400_rule_filter": "madlad.Madlad400RuleFilter",
    "interval_filter": "intervals.IntervalFilter",
    # Modifiers.
    "add_id": "identity.AddId",
    "newline_removal_modifier": "lines.NewlineRemovalModifier",
    "ratio_line_modifier": "lines.RatioLineModifier",
    "regex_line_modifier": "lines.RegexLineModifier",
    "line_len_modifier": "lines.LineLenModifier",
    "substring_line_modifier": "lines.SubstringLineModifier",
    "rename_modifier": "fields.RenameModifier",
    "sa_byte_modifier": "intervals.SaByteModifier",
    # Annotators.
    "fasttext_annotator": "classifiers.FasttextAnnotator",
    "ultrafineweb_annotator": "classifiers.UltrafinewebAnnotator",
    "word_count_adder": "length.WordCountAdder",
    "madlad400_sentence_annotator": "madlad.Madlad400SentenceAnnotator",
    "hash_annotator": "identity.HashAnnotator",
    "token_count_annotator": "annotate.TokenCountAnnotator",
    "gzip_annotator": "annotate.GzipAnnotator",
    "max_extractor": "fields.MaxExtractor",
    "dd_max_getter": "fields.DdMaxGetter",
    "constant_annotator": "fields.ConstantAnnotator",
}


class _Operations(Mapping[str, type[Operation]]):
    """Name to class."""

    def __getitem__(self, name: str) -> type[Operation]:
        module, _, kind = _PLACES[name].partition(".")
        found = getattr(importlib.import_module(f"olmoflow.curate.operations.{module}"), kind)
        return cast(type[Operation], found)

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


OPERATIONS: Mapping[str, type[Operation]] = _Operations()


@dataclass(frozen=True)
class Setting:
    """An argument of an operation.

    Attributes:
        name: Its key.
        type: What it must be.
        required: Whether it has no default.
        default: Its default, else None.
    """

    name: str
    type: Any
    required: bool
    default: Any


def describe(name: str) -> dict[str, Setting]:
    """The settings of an operation, by key.

    Raises:
        UserError: There is no operation of that name.
    """
    kind = _known(name)
    hints = get_type_hints(kind)
    settings = {}
    for argument in fields(cast(Any, kind)):
        if not argument.init:
            continue
        default = argument.default
        if argument.default_factory is not MISSING:
            default = argument.default_factory()
        required = default is MISSING
        default = None if required else default
        settings[argument.name] = Setting(argument.name, hints[argument.name], required, default)
    return settings


def build_operation(name: str, settings: Mapping[str, Any]) -> Operation:
    """An operation from its name and settings.

    Raises:
        UserError: There is no such operation or setting, one is missing, or of another type.
    """
    known = describe(name)
    for key, value in settings.items():
        if key not in known:
            raise UserError(f"{name}.{key}: no such argument{_nearest(key, known)}")
        if not _fits(value, known[key].type):
            expected = _written(known[key].type)
            raise UserError(f"{name}.{key}={value!r}: expected {expected}")
    for key, setting in known.items():
        if setting.required and key not in settings:
            raise UserError(f"{name}.{key}: missing; expected {_written(setting.type)}")
    return OPERATIONS[name](**settings)


def _known(name: str) -> type[Operation]:
    if name not in OPERATIONS:
        raise UserError(f"name={name!r}: no such operation{_nearest(name, OPERATIONS)}")
    return OPERATIONS[name]


def _nearest(name: str, names: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(names)}"


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; an integer is a number, a truth value is not."""
    origin = get_origin(kind)
    if kind is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if origin is list:
        return isinstance(value, list) and all(_fits(v, get_args(kind)[0]) for v in value)
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _written(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)
