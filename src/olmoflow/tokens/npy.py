"""Ai2's ready-tokenized mixes into shards, as much of them as a budget allows.

A mix is a list of files with labels; the files are published as bare arrays of uint32 token ids in
which every document ends with the end-of-text token. A mix is terabytes and its proportions are in
the sizes of its files, so a part of it is drawn in proportion: from every label the same share of
its bytes, as slices of at least a few megabytes at random places of files drawn at random, cut to
whole documents.

The lists are those that OLMo-core carries in ``olmo_core/data/mixes``: ``LABEL,PATH`` on each line,
with ``{TOKENIZER}`` in the path.
"""

from __future__ import annotations

import hashlib
import importlib.util
import random
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from olmoflow.documents import Document
from olmoflow.errors import UserError
from olmoflow.tokens.remote import Remote
from olmoflow.tokens.shards import ShardStatistics, ShardWriter
from olmoflow.tokens.tokenizer import Tokenizer

MANIFESTS = "https://raw.githubusercontent.com/allenai/OLMo-core/main/src/olmo_core/data/mixes"
_ITEM = 4  # bytes of a token
_SLICE_BYTES, _BLOCK_BYTES = 4 << 20, 16 << 20
_CONNECTIONS = 16
# The tokenizer's folder in the paths of a mix: one tokenizer under two names.
_DOLMA2, _DOLMA3 = "allenai/dolma2-tokenizer", "allenai/dolma3-tokenizer"
_UNDER_DOLMA3 = ("OLMo-midtraining-mix-", "OLMo-longmino-mix-", "OLMo-mix-0625-official",
                 "OLMo-mix-0925-official")  # fmt: skip


@dataclass(frozen=True)
class MixFile:
    """A file of a mix: its source and its path below the base URL."""

    label: str
    path: str


@dataclass(frozen=True)
class Slice:
    """Bytes [start, end) of a file of ``size`` bytes."""

    file: MixFile
    start: int
    end: int
    size: int


def convert_npy_mix(
    mix: str,
    output: Path,
    *,
    base_url: str,
    tokenizer: Tokenizer,
    max_bytes: int,
    chunk_tokens: int = 1 << 24,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ShardStatistics:
    """Fetch part of a mix and write it as shards; the same seed draws the same part.

    Args:
        mix: The name of one of OLMo-core's mixes, or the path of such a list.
        output: The shards' folder; replaced only when the new one is complete.
        base_url: Where the files are: a folder, or a URL (s3, gs, http, https).
        tokenizer: The one that the mix was tokenized with.
        max_bytes: Budget of the arrays' bytes (4 a token).
        chunk_tokens: A chunk ends with the document that reaches this many tokens.
        seed: Of the draw.
        progress: Called with (bytes done, bytes).

    Raises:
        UserError: The mix is unknown, a file is missing or holds other tokens, or the budget is too
            small for a single document.
    """
    files, remote = read_manifest(mix), Remote(base_url)
    slices = draw_slices(files, file_sizes(remote, files), max_bytes, seed)
    partial = output.with_name(f"{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    writer = ShardWriter(partial, tokenizer.vocab_size, chunk_tokens)
    token_sizes = tokenizer.token_sizes()
    total = sum(piece.end - piece.start for piece in slices)
    documents = done = 0
    cutter: DocumentCutter | None = None
    for piece, last, data in _fetched(remote, slices):
        ids = _checked(data, f"{remote.url}/{piece.file.path}", tokenizer.vocab_size)
        cutter = cutter or DocumentCutter(piece, tokenizer.eos_id)
        found, first, counts = cutter.cut(ids, last)
        if len(counts):
            named = list(_named(piece.file, first, counts))
            sizes = np.add.reduceat(token_sizes[found], counts.cumsum() - counts)
            writer.add(named, (found, counts), sizes)
        cutter = None if last else cutter
        documents += len(counts)
        done += len(data)
        if progress:
            progress(done, total)
    if not documents:
        raise UserError(
            f"max_bytes={max_bytes:,}: no whole document of {mix} was in that; expected more"
        )
    writer.finish()
    shutil.rmtree(output, ignore_errors=True)
    partial.rename(output)
    return ShardStatistics(documents, writer.tokens, writer.bytes, 0)


def read_manifest(mix: str) -> list[MixFile]:
    """The files of a mix.

    Args:
        mix: A path, or a name: then OLMo-core's list, from the package if it is installed.

    Raises:
        UserError: There is no such list, or a line of it is malformed.
    """
    name, text = _manifest_text(mix)
    tokenizer = _DOLMA3 if name.startswith(_UNDER_DOLMA3) else _DOLMA2
    files = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        label, comma, path = line.partition(",")
        if not comma or not path:
            raise UserError(f"{mix}:{number}: {line[:80]!r}: expected LABEL,PATH")
        files.append(MixFile(label, path.replace("{TOKENIZER}", tokenizer)))
    if not files:
        raise UserError(f"{mix}: empty; expected lines LABEL,PATH")
    return files


def _manifest_text(mix: str) -> tuple[str, str]:
    path = Path(mix)
    if path.is_file():
        try:
            return path.stem, path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            line = path.read_bytes().count(b"\n", 0, error.start) + 1
            raise UserError(f"{mix}:{line}: not valid UTF-8; expected LABEL,PATH") from error
    if "/" in mix or path.suffix == ".txt" or path.is_dir():
        raise UserError(f"mix={mix}: no such file; expected a name, or a list of files")
    package = importlib.util.find_spec("olmo_core")
    for folder in (package.submodule_search_locations or []) if package else []:
        installed = Path(folder) / "data" / "mixes" / f"{mix}.txt"
        if installed.is_file():
            return mix, installed.read_text(encoding="utf-8")
    return mix, Remote(MANIFESTS).read(f"{mix}.txt").decode()


def file_sizes(remote: Remote, files: Sequence[MixFile]) -> list[int]:
    """Bytes of each file, asked of the server."""
    with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="sizes") as pool:
        sizes = list(pool.map(lambda file: remote.size(file.path), files))
    for file, size in zip(files, sizes, strict=True):
        if not size or size % _ITEM:
            raise UserError(
                f"{remote.url}/{file.path}: {size:,} bytes; expected an array of uint32"
            )
    return sizes


def draw_slices(
    files: Sequence[MixFile], sizes: Sequence[int], max_bytes: int, seed: int
) -> list[Slice]:
    """Parts of files, at most ``max_bytes`` in all, the same share of every label.

    A label's share is cut into few slices rather than one a file, for a slice loses the documents
    at its ends. The slices come mixed.
    """
    share = min(1.0, max_bytes / sum(sizes))
    by_label: dict[str, list[tuple[MixFile, int]]] = {}
    for file, size in zip(files, sizes, strict=True):
        by_label.setdefault(file.label, []).append((file, size))
    slices: list[Slice] = []
    for label in sorted(by_label):
        draw = _random(seed, label)
        rows = sorted(by_label[label], key=lambda row: row[0].path)
        draw.shuffle(rows)
        slices += _slices_of(rows, share, draw)
    _random(seed, "order").shuffle(slices)
    return slices


def _slices_of(
    rows: Sequence[tuple[MixFile, int]], share: float, draw: random.Random
) -> Iterator[Slice]:
    smallest = min(_SLICE_BYTES, share * sum(size for _, size in rows))
    owed = 0.0
    for number, (file, size) in enumerate(rows, 1):
        owed += size * share
        length = min(int(owed), size) // _ITEM * _ITEM
        if length and (length == size or owed >= smallest or number == len(rows)):
            start = draw.randrange(0, size - length + 1, _ITEM)
            yield Slice(file, start, start + length, size)
            owed -= length


class DocumentCutter:
    """Cuts a slice, which comes in blocks, to the documents that lie in it from end to end.

    Args:
        piece: The slice.
        eos_id: Ends each document.
    """

    def __init__(self, piece: Slice, eos_id: int) -> None:
        self.eos_id = eos_id
        self._whole_end = piece.end == piece.size
        self._inside = piece.start > 0  # of a document whose beginning is not in the slice
        self._position = piece.start // _ITEM
        self._rest = np.empty(0, np.uint32)

    def cut(
        self, ids: NDArray[np.uint32], last: bool
    ) -> tuple[NDArray[np.uint32], int, NDArray[np.int64]]:
        """The documents that end in the next block.

        Returns:
            Their tokens; the position of the first one in the file, in tokens; tokens of each.
        """
        ids = np.concatenate([self._rest, ids])
        if last and self._whole_end and len(ids) and ids[-1] != self.eos_id:
            ids = np.append(ids, np.uint32(self.eos_id))
        ends = np.flatnonzero(ids == self.eos_id) + 1
        first = 0
        if self._inside:
            first = int(ends[0]) if len(ends) else len(ids)
            self._inside, ends = not len(ends), ends[1:]
        position = self._position + first
        after = int(ends[-1]) if len(ends) else first
        self._rest, self._position = ids[after:], self._position + after
        return ids[first:after], position, np.diff(ends, prepend=first)


def _named(file: MixFile, first: int, counts: Iterable[int]) -> Iterator[Document]:
    """What is known of documents: the file, and the position of their first token in it."""
    position = first
    for count in counts:
        yield Document(f"{file.path}:{position}", "", file.label, file.path)
        position += int(count)


def _fetched(remote: Remote, slices: Iterable[Slice]) -> Iterator[tuple[Slice, bool, bytes]]:
    """The blocks of slices in their order, and whether each is the last of its slice.

    Several are fetched at once, but few are held.
    """
    waiting: deque[tuple[Slice, bool, Future[bytes]]] = deque()
    with ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="fetch") as pool:
        for piece in slices:
            for start in range(piece.start, piece.end, _BLOCK_BYTES):
                end = min(start + _BLOCK_BYTES, piece.end)
                block = pool.submit(remote.read, piece.file.path, start, end)
                waiting.append((piece, end == piece.end, block))
                if len(waiting) >= _CONNECTIONS:
                    of, last, data = waiting.popleft()
                    yield of, last, data.result()
        for of, last, data in waiting:
            yield of, last, data.result()


def _checked(data: bytes, where: str, vocab_size: int) -> NDArray[np.uint32]:
    ids = np.frombuffer(data, "<u4")
    if len(ids) and int(ids.max()) >= vocab_size:
        raise UserError(
            f"{where}: token id {int(ids.max())}; expected uint32 ids below vocab_size={vocab_size}"
        )
    return ids


def _random(*parts: object) -> random.Random:
    return random.Random(hashlib.sha256("/".join(map(str, parts)).encode()).digest())
