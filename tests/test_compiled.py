"""Compiled versions of a function that several processes keep at the same time."""

import ast
import threading
from contextlib import suppress
from pathlib import Path

from numba.core import caching

import olmoflow
from olmoflow.curate.text.lines import has_full_line


def test_of_two_versions_that_are_saved_at_once_each_is_found(tmp_path, monkeypatch):
    both, load_index = threading.Barrier(2), caching.IndexDataCacheFile._load_index

    def slowly(self):
        found = load_index(self)
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # two that know of no lock meet here before either has written
        return found

    monkeypatch.setattr(caching.IndexDataCacheFile, "_load_index", slowly)
    kinds = "int32", "int64"
    files = [type(has_full_line._cache._cache_file)(str(tmp_path), "f", "stamp") for _ in kinds]
    threads = [
        threading.Thread(target=file.save, args=(kind, f"code for {kind}"))
        for file, kind in zip(files, kinds, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [files[0].load(kind) for kind in kinds] == [f"code for {kind}" for kind in kinds]


def test_every_compiled_function_is_kept_that_way():
    root = Path(olmoflow.__file__).parent
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "numba":
                names = {alias.name for alias in node.names}
                assert not names & {"njit", "jit"} or path == root / "compiled.py", path
