"""Source code: the language by the name, the licence by the nearest text or the file's own word."""

import importlib.metadata

import pytest

from olmoflow.curate.sources.location import files_at
from olmoflow.curate.sources.reading import Reading, read_unit, source_units
from olmoflow.curate.sources.source_code import language_of, licence_of
from olmoflow.documents import Intake

MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person obtaining a copy"


def test_a_tree_of_several_licences(tmp_path):
    root = tmp_path / "tree"
    for name, text in {
        "LICENSE": MIT,
        "src/a.py": "print('a')\n",
        "src/b.rs": "// SPDX-License-Identifier: Apache-2.0 OR MIT\nfn main() {}\n",
        "ext/COPYING": "GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007",
        "ext/deep/c.c": "int x;",
        "ext/deep/bad.c": "\udcff",
        "node_modules/x.js": "let x;",
        "src/empty.py": "",
        "data.bin": "\0",
        "Makefile": "all:\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode(errors="surrogateescape"))
    how = Reading(kind="code")
    intake = Intake(1.0)
    (unit,) = source_units([str(root)], how)
    found = {
        d.path: (d.license, d.metadata["language"]) for d in read_unit(unit, how, intake, root)
    }
    assert found == {
        "Makefile": ("MIT", "Makefile"),
        "ext/deep/c.c": ("GPL-3.0", "C"),
        "src/a.py": ("MIT", "Python"),
        "src/b.rs": ("Apache-2.0 OR MIT", "Rust"),
    }
    (error,) = intake.malformed
    assert error.file.endswith("bad.c")
    assert len(files_at(str(root))) == 10


@pytest.mark.parametrize(
    ("package", "file", "licence"),
    [
        ("numpy", "LICENSE.txt", "BSD-3-Clause"),
        ("torch", "LICENSE", "BSD-3-Clause"),
        ("hydra-core", "LICENSE", "MIT"),
        ("transformers", "LICENSE", "Apache-2.0"),
        ("tqdm", "LICENCE", "MPL-2.0"),
    ],
)
def test_the_licences_of_real_packages(package, file, licence):
    paths = [p for p in importlib.metadata.files(package) if p.name == file]
    assert licence in {licence_of(p.locate().read_text()) for p in paths}


def test_languages():
    assert language_of("a/b/setup.py") == "Python"
    assert language_of("Dockerfile") == "Dockerfile"
    assert language_of("a.unknown") == language_of("README") == ""
    assert language_of("vendor/a.go") == ""
