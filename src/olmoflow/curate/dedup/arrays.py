"""Arrays in files, for what is as long as the corpus."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def mapped(file: Path, dtype: DTypeLike, number: int) -> NDArray[Any]:
    """An array of zeros that lives in a new file.

    Its place on the disk is taken at once: writing to a mapped file for which there is none would
    end the process by a signal.

    Raises:
        OSError: The disk is full.
    """
    kind = np.dtype(dtype)
    if not number:
        return np.zeros(0, kind)
    with file.open("wb") as stream:
        stream.truncate(number * kind.itemsize)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, number * kind.itemsize)
    return np.memmap(file, kind, "r+", shape=(number,))
