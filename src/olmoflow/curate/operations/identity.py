"""Identifiers, hashes, and a random part of the documents.

Nothing here is random: whatever looks so is a hash of the document. A run that is repeated, resumed
or cut into other batches gives the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pyarrow as pa

from olmoflow.curate.operations.arguments import require_choice, require_share
from olmoflow.curate.operations.columns import Mask, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import field, with_field

_IDENTITY = ("id", "source", "path", "url")


def _views(column: pa.ChunkedArray) -> list[bytes]:
    """The bytes of each text; none for a null."""
    return [value or b"" for value in column.cast(pa.large_binary()).to_pylist()]


def _hashes(documents: pa.Table, text_field: str, seed: int) -> list[bytes]:
    """16 bytes for each document, from its text and where it came from."""
    from xxhash import xxh3_128

    hashers = [xxh3_128(text, seed=seed) for text in _views(text_of(documents, text_field))]
    for name in _IDENTITY:
        for hasher, value in zip(hashers, _views(text_of(documents, name)), strict=True):
            hasher.update(b"\0")
            hasher.update(value)
    return [hasher.digest() for hasher in hashers]


@dataclass(frozen=True)
class AddId:
    """Give every document an id that looks like a UUID of version 4.

    It is a hash of its text, id, source, path and URL, so two documents that agree in all of them
    share it.

    Args:
        id_key: Where the id goes.
        seed: Another seed gives other ids.
        text_field: The text.
    """

    id_key: str = "id"
    seed: int = 0
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        hashes = _hashes(documents, self.text_field, self.seed)
        ids = pa.array([str(UUID(bytes=h, version=4)) for h in hashes], pa.large_string())
        return Outcome(with_field(documents, self.id_key, pa.chunked_array([ids])))


@dataclass(frozen=True)
class Subsample:
    """Keep a random part of the documents: those whose hash (see `AddId`) is low.

    Args:
        subsample_rate: The share that stays.
        seed: Another seed keeps others.
        text_field: The text.
    """

    subsample_rate: float = 1.0
    seed: int = 0
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_share("subsample", "subsample_rate", self.subsample_rate)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        hashes = b"".join(
            h[:8] for h in _hashes(documents, self.text_field, ~self.seed & 2**64 - 1)
        )
        keep: Mask = np.frombuffer(hashes, ">u8") / 2.0**64 < self.subsample_rate
        return Outcome(documents, keep)


@dataclass(frozen=True)
class HashAnnotator:
    """Note the XXH3 hash of a field: of 128 bits as decimal digits, of 64 as a number.

    Args:
        hash_source: The field; one that a document lacks is hashed as if empty.
        hash_destination: Where to note it.
        num_bits: 128 or 64.
    """

    hash_source: str = "text"
    hash_destination: str = "metadata.text_hash"
    num_bits: int = 128

    def __post_init__(self) -> None:
        require_choice("hash_annotator", "num_bits", self.num_bits, (128, 64))

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

        values = _views(field(documents, self.hash_source).cast(pa.large_string()))
        if self.num_bits == 128:
            digits = [str(xxh3_128_intdigest(value)) for value in values]
            hashes = pa.array(digits, pa.large_string())
        else:
            hashes = pa.array([xxh3_64_intdigest(value) for value in values], pa.uint64())
        return Outcome(with_field(documents, self.hash_destination, pa.chunked_array([hashes])))
