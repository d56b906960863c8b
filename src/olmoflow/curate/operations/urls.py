"""The filter by URL: lists of domains, hosts, addresses and words that are not wanted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from olmoflow.curate.operations import banlist
from olmoflow.curate.operations.arguments import refuse
from olmoflow.curate.operations.columns import Mask, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.text.characters import ALPHABETIC, NUMBER, properties

_NAME = "url_substring_filter"
# A host as URLs are read on the web: schemes of the web need no slashes, others two of them.
_HOST = (
    r"^[\x00-\x20]*(?:(?i:https?|wss?|ftp):[/\\]*(?:[^/?#\\]*@)?(?P<web>\[[^\]/?#\\]*\]|[^/?#\\:]*)"
    r"|[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#]*@)?(?P<other>\[[^\]/?#]*\]|[^/?#:]*))"
)
_SCHEME = r"^[\x00-\x20]*[A-Za-z][A-Za-z0-9+.\-]*:"
# [256] which bytes are letters or digits of ASCII.
_ALNUM: Mask = np.array([byte < 0x80 and chr(byte).isalnum() for byte in range(256)])


@dataclass(frozen=True)
class UrlSubstringFilter:
    """Drop documents whose URL is on a list of what is banned, and those without the field.

    An empty URL is on no list. Of the four ``exact_…`` arguments the first that is set decides.
    With none of them, entries are looked for anywhere in the URL, where they do not overlap: of
    two, the one that ends first is found.

    Args:
        url_key: The field with the URL.
        banlist_file: An entry a line; empty lines do not count; may be compressed (``.gz``).
        alt_url_key: The field with the URL of documents that have none in ``url_key``.
        ignore_chars: Characters, or strings, taken out of what is compared.
        num_banned_substrs: How many matches it takes, where entries are looked for anywhere.
        exact_domain_match: An entry is the whole host. A URL without one is an error.
        exact_subdomain_match: An entry is the first label of a host that has three or more. What
            is no URL is an error.
        exact_url_match: An entry is the URL.
        exact_part_match: An entry is what stands between two characters that are neither letters
            nor digits of ASCII.
        match_substrings: Entries may be parts of longer words; else what stands before and behind
            must be neither letter nor digit.
        case_sensitive: Whether case counts. If not, URL and entries are lowercased. (datamap-rs
            lowercases the entries only if it does.)
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
        if self.num_banned_substrs < 1:
            refuse(_NAME, "num_banned_substrs", self.num_banned_substrs, "1 or more")
        banlist.check(_NAME, self.banlist_file)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        urls = self._urls(documents)
        present = np.asarray(urls.is_valid())
        urls = pc.fill_null(urls, "")
        errors: dict[int, str] = {}
        if self.exact_domain_match or self.exact_subdomain_match:
            urls, wrong = _hosts(urls, required=self.exact_domain_match)
            errors = {row: f"{self.url_key}: {url!r} is no URL with a host" for row, url in wrong}
        if self.exact_subdomain_match and not self.exact_domain_match:
            labels = pc.struct_field(pc.extract_regex(urls, r"^(?P<x>[^.]*)\.[^.]*\."), "x")
            urls = pc.fill_null(labels, "").cast(pa.large_string())
        if not self.case_sensitive:
            urls = pc.utf8_lower(urls)
        for ignored in self.ignore_chars:
            urls = pc.replace_substring(urls, ignored, "")
        return Outcome(documents, present & ~self._banned(urls), errors)

    def _urls(self, documents: pa.Table) -> Any:
        urls = text_of(documents, self.url_key)
        if self.alt_url_key is None:
            return urls
        missing = pc.equal(pc.fill_null(urls, ""), "")
        return pc.if_else(missing, pc.coalesce(text_of(documents, self.alt_url_key), urls), urls)

    def _banned(self, urls: Any) -> Mask:
        if self.exact_domain_match or self.exact_subdomain_match or self.exact_url_match:
            return banlist.on_list(urls, _NAME, self.banlist_file, self.case_sensitive)
        return self._by_parts(urls)

    def _by_parts(self, urls: Any) -> Mask:
        """All URLs are searched at once, a line each; no entry has a newline in it."""
        urls = pc.replace_substring(urls, "\n", " ")
        haystack = "\n".join(["", *urls.to_pylist(), ""]).encode()
        data = np.frombuffer(haystack, np.uint8)
        automaton = banlist.automaton(_NAME, self.banlist_file, self.case_sensitive)
        found = np.array(
            automaton.find_matches_as_indexes(haystack, overlapping=self.exact_part_match),
            np.int64,
        ).reshape(-1, 3)
        if self.exact_part_match:
            found = found[_whole_words(self.banlist_file, self.case_sensitive)[found[:, 0]]]
            bounded = ~_ALNUM[data[found[:, 1] - 1]] & ~_ALNUM[data[found[:, 2]]]
            found = found[bounded]
        elif not self.match_substrings:
            before, after = found[:, 1] - 1, found[:, 2]
            inside = _ALNUM[data[before]] | _ALNUM[data[after]]
            for row in np.flatnonzero(~inside & ((data[before] >= 0x80) | (data[after] >= 0x80))):
                inside[row] = _in_word(haystack, int(before[row]), int(after[row]))
            found = found[~inside]
        places = np.searchsorted(np.flatnonzero(data == ord("\n")), found[:, 1]) - 1
        counts = np.bincount(places, minlength=len(urls))
        fewest = 1 if self.exact_part_match else self.num_banned_substrs
        banned: Mask = counts >= fewest
        return banned


def _in_word(text: bytes, before: int, after: int) -> bool:
    """Whether a letter or digit of any script ends at one byte, or starts at another."""
    start, end = before, after + 1
    while text[start] & 0xC0 == 0x80:
        start -= 1
    while text[end] & 0xC0 == 0x80:
        end += 1
    points = ord(text[start : before + 1].decode()), ord(text[after:end].decode())
    return any(properties()[point] & (ALPHABETIC | NUMBER) for point in points)


def _hosts(urls: Any, *, required: bool) -> tuple[Any, list[tuple[int, str]]]:
    """The hosts of URLs, empty where there is none, and the rows of what is no URL.

    Args:
        urls: The URLs; an empty one is none, and not wrong.
        required: Whether a URL without a host is wrong as well.
    """
    found = pc.extract_regex(urls, _HOST)
    web, other = pc.struct_field(found, "web"), pc.struct_field(found, "other")
    hosts = pc.fill_null(pc.if_else(pc.equal(web, ""), other, web), "").cast(pa.large_string())
    hosts = pc.ascii_lower(hosts)
    odd = np.asarray(pc.match_substring_regex(hosts, r"[^a-z0-9.\-_]"))
    wrong: list[tuple[int, str]] = []
    if odd.any():
        listed = hosts.to_pylist()
        for row in np.flatnonzero(odd):
            listed[row] = _written_host(listed[row])
        hosts = pa.chunked_array([pa.array(listed, pa.large_string())])
    bad = np.asarray(pc.equal(hosts, "")) & ~np.asarray(pc.equal(urls, ""))
    if not required:
        bad &= ~np.asarray(pc.match_substring_regex(urls, _SCHEME))
    for row in np.flatnonzero(bad):
        wrong.append((int(row), urls[int(row)].as_py()))
    return hosts, wrong


def _written_host(host: str) -> str:
    """A host of other than plain letters as it is sent; empty if it is none."""
    if host.startswith("["):
        return host
    try:
        return unquote(host, errors="strict").encode("idna").decode().lower()
    except UnicodeError:
        return ""


@cache
def _whole_words(path: str, case_sensitive: bool) -> Mask:
    """[entries] which of them can be a part of a URL at all."""
    entries = banlist.texts(_NAME, path, case_sensitive)
    return np.array([e.isascii() and e.isalnum() for e in entries])
