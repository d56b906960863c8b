"""All map operations, by the names that datamap-rs gives them.

Each is a dataclass whose fields are its arguments. A class is imported when it is asked for, so
that a list of names costs nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import cast

from olmoflow.curate.operations.operation import Operation

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
