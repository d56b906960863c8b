"""The chunk format of litdata's ``TokensLoader``, and what stands beside the chunks.

A folder of shards holds::

    index.json         litdata's: the chunks, their tokens, the data type
    chunk-0-0.bin …    uint32 header [n, offset of each document and of the end], then the tokens
    documents.parquet  one row a document: where it starts, how long it is, where it came from
    digests.json       sha256 of every file above

Shards of conversations have the same chunks. Which tokens of a document are learnt stands in the
table's column ``targets``: [start, end) pairs, counted from the document's first token. The index
says ``"content": "conversations"``, or ``"pairs"``.

The header gives the document boundaries, the table gives the documents; the digests are ours, since
litdata reads damaged chunks without a word. ``index.json`` is written last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError

# What a document is; all tokens of plain documents are learnt.
Content = Literal["documents", "conversations", "pairs"]
INDEX, DOCUMENTS, DIGESTS = "index.json", "documents.parquet", "digests.json"
# litdata's numbers of numpy data types.
_DATA_FORMATS = {np.dtype(np.uint16): "no_header_numpy:5", np.dtype(np.uint32): "no_header_numpy:6"}
_READABLE = {
    "no_header_numpy:5": np.uint16,
    "no_header_numpy:6": np.uint32,
    "no_header_tensor:15": np.int32,
    "no_header_tensor:16": np.int32,
    "no_header_tensor:17": np.int64,
    "no_header_tensor:18": np.int64,
    "no_header_tensor:20": np.uint16,
}


@dataclass(frozen=True)
class Chunk:
    """One file of tokens.

    Attributes:
        filename: In the shards' folder.
        documents: How many it holds.
        tokens: How many it holds.
        bytes: Size of the file.
    """

    filename: str
    documents: int
    tokens: int
    bytes: int

    @property
    def header_bytes(self) -> int:
        """Where the tokens begin."""
        return 4 * (self.documents + 2)


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest data type that holds every id."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def write_chunk(path: Path, documents: Sequence[NDArray[Any]]) -> Chunk:
    """Write documents as one chunk.

    Raises:
        UserError: The chunk would pass 4 GiB, which the format's offsets cannot express.
    """
    sizes = np.array([0, *(d.nbytes for d in documents)], dtype=np.int64)
    offsets = 4 * (len(documents) + 2) + sizes.cumsum()
    if offsets[-1] >= 1 << 32:
        raise UserError(f"chunk_tokens: a chunk of {offsets[-1]:,} bytes; expected less than 4 GiB")
    header = np.array([len(documents), *offsets], dtype=np.uint32)
    with path.open("wb") as file:
        for array in (header, *documents):
            file.write(np.ascontiguousarray(array).data)  # unlike tofile, it says why it fails
        file.flush()
        os.fsync(file.fileno())
    tokens = int(sizes.sum()) // documents[0].itemsize
    return Chunk(path.name, len(documents), tokens, int(offsets[-1]))


def write_index(
    folder: Path,
    chunks: Sequence[Chunk],
    dtype: np.dtype[Any],
    vocab_size: int | None = None,
    content: Content = "documents",
) -> None:
    """Write ``index.json`` as litdata does, and in it what the documents and the ids are."""
    index = {
        "chunks": [
            {
                "chunk_bytes": c.bytes,
                "chunk_size": c.documents,
                "dim": c.tokens,
                "filename": c.filename,
            }
            for c in chunks
        ],
        "config": {
            "chunk_bytes": None,
            "chunk_size": max(c.tokens for c in chunks),
            "compression": None,
            "compression_level": None,
            "encryption": None,
            "data_format": [_DATA_FORMATS[dtype]],
            "data_spec": '[1, {"type": null, "context": null, "children_spec": []}]',
            "item_loader": "TokensLoader",
        },
        "updated_at": "0",
        "vocab_size": vocab_size,
        **({} if content == "documents" else {"content": content}),
    }
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")


class Index(NamedTuple):
    """What an ``index.json`` says: the chunks, the tokens' data type, `write_index`'s own two."""

    chunks: list[Chunk]
    dtype: np.dtype[Any]
    vocab_size: int | None
    content: Content


def read_index(text: bytes | str, where: str) -> Index:
    """Parse an ``index.json``.

    Raises:
        UserError: It is no index of token chunks.
    """
    try:
        index = json.loads(text)
        data_format = index["config"]["data_format"][0]
        chunks = [
            Chunk(c["filename"], c["chunk_size"], c["dim"], c["chunk_bytes"])
            for c in index["chunks"]
        ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"{where}: no litdata index ({error})") from error
    if data_format not in _READABLE or any(c.tokens is None for c in chunks):
        raise UserError(f"{where}: data_format={data_format}: expected chunks of a TokensLoader")
    dtype, content = np.dtype(_READABLE[data_format]), index.get("content", "documents")
    return Index(chunks, dtype, index.get("vocab_size"), content)


def read_digests(text: bytes | str, where: str) -> dict[str, str]:
    """Parse a ``digests.json``: the sha256 of each file.

    Raises:
        UserError: It is none.
    """
    try:
        record = json.loads(text)
    except ValueError as error:
        raise UserError(f"{where}: damaged ({error})") from error
    if not isinstance(record, dict) or not all(isinstance(v, str) for v in record.values()):
        raise UserError(f"{where}: damaged; expected the sha256 of each file")
    return record
