"""A corpus that is on every machine: the Python environment itself.

*Code* is the source of the standard library and of the installed packages; *prose* is what people
wrote about it: docstrings, READMEs and the packages' descriptions. Every document carries its
path (relative to the library folder), its package, version and licence.

A split is made by whole packages, so that near-copies within one package cannot leak from the
training text into the held-out text; exact duplicates are removed over all packages.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import sys
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from olmoflow.curate.documents import CorpusWriter, write_jsonl
from olmoflow.errors import UserError

_PROSE_SUFFIXES = {".md", ".rst", ".txt"}
_SKIPPED_PARTS = {"tests", "test", "testing", "__pycache__", "_vendor", "node_modules", "idlelib"}
_LEGAL_FILES = ("license", "licence", "copying", "authors", "notice", "top_level", "entry_points")
_MIN_BYTES, _MAX_BYTES = 200, 400_000
_MAX_LINE = 2_000  # generated or minified beyond this
_MIN_DOCSTRING_BYTES = 400


@dataclass(frozen=True)
class Package:
    """An installed distribution, or the standard library."""

    name: str
    version: str
    license: str
    files: tuple[Path, ...]  # relative to root
    root: Path
    description: str = ""


@dataclass(frozen=True)
class Candidate:
    """A file, or a package's description, that may become a document."""

    package: Package
    source: str
    path: str
    size: int

    def documents(
        self, left_out: Counter[str], docstrings_as: str = "prose"
    ) -> Iterator[dict[str, Any]]:
        """The document, and beside code its docstrings; what is unfit is counted by reason."""
        if self.path.endswith("/DESCRIPTION"):
            yield self._document("prose", self.path, self.package.description)
            return
        text, reason = _read(self.package.root / self.path)
        if reason:
            left_out[reason] += 1
            return
        yield self._document(self.source, self.path, text)
        if self.source == "code":
            docstrings = "\n\n".join(docstrings_of(text))
            if len(docstrings.encode()) >= _MIN_DOCSTRING_BYTES:
                yield self._document(docstrings_as, f"{self.path}#docstrings", docstrings)

    def _document(self, source: str, path: str, text: str) -> dict[str, Any]:
        package = self.package
        return {
            "id": f"{package.name}-{package.version}/{path}",
            "text": text,
            "source": source,
            "path": path,
            "license": package.license,
            "metadata": {"package": package.name, "version": package.version},
        }


@dataclass
class CorpusStatistics:
    """What was gathered and what was left out.

    Attributes:
        documents: Documents by split.
        bytes: UTF-8 bytes of text by split.
        sources: Bytes by source (code, prose, perhaps docstrings).
        left_out: Files by reason.
        packages: How many packages gave documents.
    """

    documents: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    packages: int = 0


def gather_installed_text(
    output: Path,
    *,
    max_bytes: int | None = None,
    max_bytes_of: Mapping[str, int] | None = None,
    heldout_fraction: float = 0.02,
    seed: int = 0,
    docstrings_as: str = "prose",
    progress: Callable[[int, int], None] | None = None,
) -> CorpusStatistics:
    """Write ``OUTPUT/train`` and ``OUTPUT/heldout``.

    Args:
        output: The corpus folder.
        max_bytes: Budget of text: documents are drawn evenly by their hash; None: everything.
        max_bytes_of: Budgets of single sources; the environment has far more code than prose.
        heldout_fraction: Share of the bytes that is held out, about.
        seed: Of the draw and of the split.
        docstrings_as: The source that docstrings count to.
        progress: Called with (packages done, packages).

    Raises:
        UserError: Nothing was found.
    """
    packages = installed_packages()
    left_out: Counter[str] = Counter()
    candidates = [c for package in packages for c in candidates_of(package, left_out)]
    if not candidates:
        raise UserError("curate: no text found in the Python environment")
    heldout = choose_heldout(candidates, heldout_fraction, seed)
    budget = max_bytes or sum(c.size for c in candidates)
    statistics = CorpusStatistics()
    limits = max_bytes_of or {}

    def fits(source: str, size: int) -> bool:
        return statistics.sources.get(source, 0) + size <= limits.get(source, budget)

    seen: set[bytes] = set()
    contributing: set[str] = set()
    # In the order of their hash: a budget draws evenly, and the documents come mixed.
    candidates.sort(key=lambda c: _hash(f"{seed} draw {c.package.name} {c.path}"))
    with CorpusWriter(output) as writer:
        for candidate in candidates:
            if writer.total_bytes + candidate.size > budget:
                continue
            if not fits(candidate.source, candidate.size):
                continue
            for document in candidate.documents(left_out, docstrings_as):
                if not fits(document["source"], len(document["text"].encode())):
                    continue
                digest = hashlib.sha256(document["text"].encode()).digest()
                if digest in seen:
                    left_out["exact duplicate"] += 1
                    continue
                seen.add(digest)
                contributing.add(candidate.package.name)
                split = "heldout" if candidate.package.name in heldout else "train"
                size = writer.write(split, document)
                source = document["source"]
                statistics.sources[source] = statistics.sources.get(source, 0) + size
            if progress:
                progress(min(writer.total_bytes, budget), budget)
    statistics.documents, statistics.bytes = writer.documents, writer.bytes
    statistics.packages, statistics.left_out = len(contributing), dict(left_out)
    rows = [{"reason": reason, "files": count} for reason, count in left_out.most_common()]
    write_jsonl(output / "left_out.jsonl", rows)
    return statistics


def installed_packages() -> list[Package]:
    """The standard library and every installed distribution, by name."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    files = tuple(
        p.relative_to(stdlib)
        for p in sorted(stdlib.rglob("*.py"))
        if not {"site-packages", "dist-packages"} & set(p.relative_to(stdlib).parts)
    )
    version = ".".join(map(str, sys.version_info[:3]))
    found = {"python": Package("python", version, "PSF-2.0", files, stdlib)}
    for distribution in importlib.metadata.distributions():
        metadata = distribution.metadata
        name = metadata["Name"]
        if not name or name.lower() in found or name.lower() == "olmoflow":
            continue
        root = Path(str(distribution.locate_file("")))
        listed = tuple(sorted(Path(str(f)) for f in distribution.files or () if ".." not in str(f)))
        found[name.lower()] = Package(
            name, distribution.version, license_of(metadata), listed, root,
            description_of(metadata),
        )  # fmt: skip
    return [found[name] for name in sorted(found)]


def description_of(metadata: Any) -> str:
    """The long description, which PyPI shows as a project's page."""
    return str(metadata.get_payload() or metadata.get("Description") or "")


def license_of(metadata: Any) -> str:
    """The licence that a distribution states: an expression, a classifier, or its first line."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    for classifier in metadata.get_all("Classifier") or ():
        if classifier.startswith("License ::"):
            return str(classifier.rpartition("::")[2].strip())
    stated = (metadata.get("License") or "").strip()
    return stated.splitlines()[0][:80] if stated else "unknown"


def candidates_of(package: Package, left_out: Counter[str]) -> Iterator[Candidate]:
    """The files of a package that may become documents, by name and size alone."""
    if len(package.description.encode()) >= _MIN_BYTES:
        size = len(package.description.encode())
        yield Candidate(package, "prose", f"{package.name}/DESCRIPTION", size)
    for file in package.files:
        if file.suffix == ".py":
            source = "code"
        elif file.suffix in _PROSE_SUFFIXES and not file.name.lower().startswith(_LEGAL_FILES):
            source = "prose"
        else:
            continue
        if _SKIPPED_PARTS & set(file.parts):
            left_out["test or vendored file"] += 1
            continue
        try:
            size = (package.root / file).stat().st_size
        except OSError:
            left_out["unreadable"] += 1
            continue
        if size < _MIN_BYTES:
            left_out["shorter than 200 bytes"] += 1
        elif size > _MAX_BYTES:
            left_out["longer than 400,000 bytes"] += 1
        else:
            yield Candidate(package, source, file.as_posix(), size)


def docstrings_of(code: str) -> list[str]:
    """The docstrings of a module, of its classes and functions, in their order."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return []
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text]


def choose_heldout(candidates: Iterable[Candidate], fraction: float, seed: int) -> set[str]:
    """Whole packages, in the order of their hash, up to a share of the bytes.

    Packages without both code and prose are passed over, so that the held-out text has both.
    """
    sizes: Counter[str] = Counter()
    sources: dict[str, set[str]] = {}
    for candidate in candidates:
        name = candidate.package.name
        sizes[name] += candidate.size
        sources.setdefault(name, set()).add(candidate.source)
    total = sum(sizes.values())
    names = [n for n in sizes if sources[n] == {"code", "prose"} and n != "python"]
    names.sort(key=lambda name: _hash(f"{seed} split {name}"))
    chosen: set[str] = set()
    taken = 0
    for name in names:
        if taken + sizes[name] <= fraction * total:
            chosen.add(name)
            taken += sizes[name]
    if not chosen and names:
        chosen.add(min(names, key=lambda name: sizes[name]))
    return chosen


def _read(path: Path) -> tuple[str, str]:
    """The text of a file and an empty reason, or a reason to leave it out."""
    try:
        data = path.read_bytes()
    except OSError:
        return "", "unreadable"
    if b"\0" in data:
        return "", "binary"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "", "not UTF-8"
    if max(map(len, text.splitlines()), default=0) > _MAX_LINE:
        return "", "a line of more than 2,000 characters"
    return text, ""


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
