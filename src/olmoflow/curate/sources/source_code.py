"""Trees of source code: the language by a file's name, the licence by what lies beside it.

A file's licence is what an ``SPDX-License-Identifier`` near its beginning says, else the licence
whose text stands in the nearest folder above it within the tree; else it is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from olmoflow.documents import Document, Intake, fault

_SKIPPED = {"node_modules", "__pycache__", "vendor", "third_party", "site-packages"}
_LICENSE_NAMES = re.compile(r"(?i)(un)?licen[cs]e|copying")
_SPDX = re.compile(
    r"SPDX-License-Identifier:\s*([A-Za-z0-9][\w.+-]*(?: (?:OR|AND|WITH) [\w.+-]+)*)"
)
_SPDX_BYTES = 4096
# The first whose phrases all occur in the text, its white space and case made even, its commas
# gone. Licences name each other, so the order and the titles as they stand matter.
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("MPL-2.0", ("mozilla public license version 2.0",)),
    ("MPL-2.0", ("mozilla public license v. 2.0",)),
    ("AGPL-3.0", ("gnu affero general public license version 3",)),
    ("LGPL-3.0", ("gnu lesser general public license version 3",)),
    ("LGPL-2.1", ("gnu lesser general public license version 2.1",)),
    ("GPL-3.0", ("gnu general public license version 3",)),
    ("GPL-2.0", ("gnu general public license version 2",)),
    ("Apache-2.0", ("apache license version 2.0",)),
    ("EPL-2.0", ("eclipse public license - v 2.0",)),
    ("BSL-1.0", ("boost software license - version 1.0",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("PSF-2.0", ("python software foundation license",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("0BSD", ("permission to use copy modify and/or distribute", "bsd zero clause")),
    ("ISC", ("permission to use copy modify and/or distribute this software",)),
    ("ISC", ("permission to use copy modify and distribute this software",)),
    ("MIT", ("permission is hereby granted free of charge to any person obtaining a copy",)),
    (
        "BSD-3-Clause",
        ("redistribution and use in source and binary forms", "endorse or promote products"),
    ),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
)
_LANGUAGES = {
    "Python": "py pyi pyx", "JavaScript": "js jsx mjs cjs", "TypeScript": "ts tsx mts cts",
    "C": "c", "C++": "cc cpp cxx hh hpp hxx", "C or C++ header": "h", "C#": "cs", "CUDA": "cu cuh",
    "Java": "java", "Kotlin": "kt kts", "Scala": "scala sc", "Groovy": "groovy", "Go": "go",
    "Rust": "rs", "Swift": "swift", "Objective-C": "m mm", "Ruby": "rb", "PHP": "php",
    "Perl": "pl pm", "Lua": "lua", "R": "r", "Julia": "jl", "Haskell": "hs lhs", "OCaml": "ml mli",
    "F#": "fs fsx", "Erlang": "erl hrl", "Elixir": "ex exs", "Clojure": "clj cljs cljc",
    "Common Lisp": "lisp lsp", "Scheme": "scm", "Racket": "rkt", "Emacs Lisp": "el",
    "Dart": "dart", "Zig": "zig", "Nim": "nim", "D": "d", "Fortran": "f f90 f95 f03",
    "Pascal": "pas", "Ada": "adb ads", "COBOL": "cob cbl", "Assembly": "s asm", "VHDL": "vhd vhdl",
    "Verilog": "v", "SystemVerilog": "sv svh", "MATLAB": "mat matlab", "SQL": "sql",
    "Shell": "sh bash zsh", "PowerShell": "ps1", "Batchfile": "bat cmd", "Lean": "lean",
    "Coq": "coq", "Isabelle": "thy", "Agda": "agda", "TeX": "tex sty cls", "HTML": "html htm",
    "CSS": "css scss sass less", "Vue": "vue", "Svelte": "svelte", "Protocol Buffer": "proto",
    "Thrift": "thrift", "GraphQL": "graphql", "CMake": "cmake", "Solidity": "sol",
    "Jupyter Notebook": "ipynb", "Tcl": "tcl", "Vim script": "vim", "Mojo": "mojo", "GLSL": "glsl",
}  # fmt: skip
_BY_SUFFIX = {s: language for language, suffixes in _LANGUAGES.items() for s in suffixes.split()}
_BY_NAME = {"makefile": "Makefile", "dockerfile": "Dockerfile", "cmakelists.txt": "CMake"}


def language_of(name: str) -> str:
    """The language of a file by its name; empty for other files and in vendored folders."""
    *folders, file = name.split("/")
    if _SKIPPED.intersection(folders):
        return ""
    _, dot, suffix = file.lower().rpartition(".")
    return _BY_NAME.get(file.lower()) or (_BY_SUFFIX.get(suffix, "") if dot else "")


def read_code(path: Path, name: str, intake: Intake) -> Iterator[Document]:
    """A source file as a document; ``metadata.language`` has its language."""
    size = path.stat().st_size
    intake.file_bytes += size
    if intake.max_document_bytes is not None and size > intake.max_document_bytes:
        intake.reject(path, 1, f"a file of {size:,} bytes, more than max_document_bytes allows")
        return
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        intake.reject(path, line, f"invalid UTF-8 at byte {error.start} of the file")
        return
    if not text.strip():  # an empty __init__.py is no mistake
        return
    if reason := fault(text):
        intake.reject(path, 1, reason)
        return
    intake.documents += 1
    stated = _SPDX.search(text[:_SPDX_BYTES])
    # How many folders of the tree lie between the file and the tree's own.
    licence = stated[1] if stated else _licence_above(path.parent, name.count("/"))
    yield Document(
        name, text, "code", path=name, license=licence, metadata={"language": language_of(name)}
    )


@cache
def _licence_above(folder: Path, levels: int) -> str:
    if found := licence_in(folder):
        return found
    return _licence_above(folder.parent, levels - 1) if levels > 0 else ""


def licence_in(folder: Path) -> str:
    """The SPDX id of the licence whose text lies in a folder; several are joined by OR."""
    found = []
    for path in sorted(folder.iterdir()):
        if _LICENSE_NAMES.match(path.name) and path.is_file() and path.stat().st_size < 1 << 20:
            text = path.read_text(errors="replace")
            if (name := licence_of(text)) and name not in found:
                found.append(name)
    return " OR ".join(found)


def licence_of(text: str) -> str:
    """The SPDX id of a licence's text, empty if it is none of the common ones."""
    even = " ".join(text.lower().replace(",", "").split())
    for name, phrases in _PHRASES:
        if all(phrase in even for phrase in phrases):
            return name
    return ""
