"""The filter by URL: lists of domains, hosts, addresses and words that are not wanted."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from olmoflow.curate.operations.arguments import refuse, require_file
from olmoflow.curate.operations.columns import Mask, text_of
from olmoflow.curate.operations.operation import Outcome

_NAME = "url_substring_filter"
# Scheme, user and "www." before the host; port, path, query or fragment behind it.
_HOST = r"^(?:[A-Za-z][A-Za-z0-9+.\-]*:)?(?://)?(?:[^/?#@]*@)?(?P<host>[^/?#:]*)"


@dataclass(frozen=True)
class UrlSubstringFilter:
    """Drop documents whose URL is on a list of what is banned. One without a URL stays.

    With none of the ``exact_…`` arguments, entries are looked for anywhere in the URL.

    Args:
        url_key: The field with the URL.
        banlist_file: An entry a line; blank lines do not count; may be compressed (``.gz``).
        alt_url_key: The field with the URL of documents that have none in ``url_key``.
        ignore_chars: Characters taken out of the URL before anything is compared.
        num_banned_substrs: How many matches it takes, where entries are parts of the URL.
        exact_domain_match: An entry is the host or a domain above it, of two labels or more:
            ``b.co`` bans ``a.b.co`` and ``www.b.co``. (No list of public suffixes is needed.)
        exact_subdomain_match: An entry is the host, with or without ``www.``.
        exact_url_match: An entry is the URL.
        exact_part_match: An entry is what stands between two characters that are neither letters
            nor digits.
        match_substrings: Entries may be parts of longer words; else what stands before and behind
            must be neither letter nor digit.
        case_sensitive: Whether case counts.
    """

    url_key: str
    banlist_file: str
    alt_url_key: str | None = None
    ignore_chars: list[str] = field(default_factory=list)
    num_banned_substrs: int = 1
    exact_domain_match: bool = False
    exact_subdomain_match: bool = False
    exact_url_match: bool = False
    exact_part_match: bool = False
    match_substrings: bool = True
    case_sensitive: bool = False

    def __post_init__(self) -> None:
        path = require_file(_NAME, "banlist_file", self.banlist_file)
        if self.num_banned_substrs < 1:
            refuse(_NAME, "num_banned_substrs", self.num_banned_substrs, "1 or more")
        if not _entries(str(path), self.case_sensitive):
            refuse(_NAME, "banlist_file", self.banlist_file, "a file with an entry a line")

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        urls = pc.fill_null(self._urls(documents), "")
        if not self.case_sensitive:
            urls = pc.utf8_lower(urls)
        for character in self.ignore_chars:
            urls = pc.replace_substring(urls, character, "")
        banned = np.zeros(len(urls), np.bool_)
        for wanted, judge in self._judges():
            if wanted:
                banned |= judge(urls)
        return Outcome(documents, ~banned)

    def _urls(self, documents: pa.Table) -> Any:
        urls = text_of(documents, self.url_key)
        if self.alt_url_key is None:
            return urls
        missing = pc.equal(pc.fill_null(urls, ""), "")
        return pc.if_else(missing, text_of(documents, self.alt_url_key), urls)

    def _judges(self) -> list[tuple[bool, Callable[[Any], Mask]]]:
        exact = self.exact_domain_match or self.exact_subdomain_match or self.exact_url_match
        return [
            (self.exact_domain_match, self._by_domain),
            (self.exact_subdomain_match, self._by_host),
            (self.exact_url_match, self._by_url),
            (self.exact_part_match, lambda urls: self._by_parts(urls, words=True)),
            (
                not exact and not self.exact_part_match,
                lambda urls: self._by_parts(urls, words=not self.match_substrings),
            ),
        ]

    def _listed(self, values: Any) -> Mask:
        entries = _entry_array(self.banlist_file, self.case_sensitive)
        return np.asarray(pc.is_in(values, entries))

    def _by_url(self, urls: Any) -> Mask:
        return self._listed(urls)

    def _by_host(self, urls: Any) -> Mask:
        hosts = _hosts(urls)
        return self._listed(hosts) | self._listed(_without_www(hosts))

    def _by_domain(self, urls: Any) -> Mask:
        domains = _hosts(urls)
        banned = np.zeros(len(urls), np.bool_)
        while True:
            banned |= self._listed(domains)
            if not pc.any(pc.match_substring_regex(domains, r"\..*\.")).as_py():
                return banned
            # The domain above, where that has two labels still.
            domains = pc.replace_substring_regex(domains, r"^[^.]*\.([^.]*\..*)$", r"\1")

    def _by_parts(self, urls: Any, *, words: bool) -> Mask:
        """All URLs are searched at once, a line each; no entry has a newline in it."""
        urls = pc.replace_substring(urls, "\n", " ")
        haystack = "\n".join(["", *urls.to_pylist(), ""]).encode()
        lines = np.frombuffer(haystack, np.uint8) == ord("\n")
        automaton = _automaton(self.banlist_file, self.case_sensitive)
        found = np.array(
            automaton.find_matches_as_indexes(haystack, overlapping=words), np.int64
        ).reshape(-1, 3)
        if words:
            part = _word_bytes()[np.frombuffer(haystack, np.uint8)]
            found = found[~part[found[:, 1] - 1] & ~part[found[:, 2]]]
        if self.exact_part_match:
            whole = _whole_words(self.banlist_file, self.case_sensitive)
            found = found[whole[found[:, 0]]]
        places = np.searchsorted(np.flatnonzero(lines), found[:, 1]) - 1
        counts = np.bincount(places, minlength=len(urls))
        banned: Mask = counts >= self.num_banned_substrs
        return banned


def _hosts(urls: Any) -> Any:
    hosts = pc.struct_field(pc.extract_regex(urls, _HOST), "host")
    return pc.fill_null(hosts, "").cast(pa.large_string())


def _without_www(hosts: Any) -> Any:
    return pc.replace_substring_regex(hosts, r"^www\.", "")


def _word_bytes() -> Mask:
    """[256] whether a byte is a letter, a digit, or part of a character that is not ASCII."""
    return np.array([byte >= 0x80 or chr(byte).isalnum() for byte in range(256)])


@cache
def _entries(path: str, case_sensitive: bool) -> tuple[str, ...]:
    """What is banned, each once."""
    file = require_file(_NAME, "banlist_file", path)
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if file.suffix == ".gz" else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = f"a text file in UTF-8, plain or .gz ({error})"
        refuse(_NAME, "banlist_file", path, reason)
    lines = (line.strip() for line in text.splitlines())
    return tuple(dict.fromkeys(e if case_sensitive else e.lower() for e in lines if e))


@cache
def _entry_array(path: str, case_sensitive: bool) -> pa.Array:
    return pa.array(_entries(path, case_sensitive), pa.large_string())


@cache
def _whole_words(path: str, case_sensitive: bool) -> Mask:
    """[entries] which of them can be a part of a URL at all."""
    return np.array([entry.isalnum() for entry in _entries(path, case_sensitive)])


@cache
def _automaton(path: str, case_sensitive: bool) -> Any:
    from ahocorasick_rs import BytesAhoCorasick

    return BytesAhoCorasick([entry.encode() for entry in _entries(path, case_sensitive)])
