"""The corpus of the Python environment, gathered from a small one."""

import hashlib
import json
import sys

import pytest
import zstandard

from olmoflow.curate import installed_text
from olmoflow.curate.installed_text import docstrings_of, gather_installed_text, license_of
from olmoflow.errors import UserError

DOCSTRING = "What this module is about, at some length. " * 12


def make_package(site, name, *, license_line="License-Expression: MIT", files=None):
    """An installed distribution with code and prose; ``files`` come on top."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    description = f"The {name} package does what its name says, for everybody. " * 10
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{license_line}\n\n{description}"
    )
    code = f'"""{name}: {DOCSTRING}"""\n\nVALUE = {name!r}\n' + "# a comment\n" * 30
    contents = {f"{name}/__init__.py": code.encode(), **(files or {})}
    for path, data in contents.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(data)
    record = "".join(f"{path},,\n" for path in [*contents, f"{info.name}/METADATA"])
    (info / "RECORD").write_text(record)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A site-packages folder of twelve packages, and a standard library of one module."""
    site = tmp_path / "site-packages"
    long_line = b"x = '" + b"a" * 3000 + b"'\n"
    odd = {
        "one/binary.py": b"# \0" * 100,
        "one/latin.py": "# caf\u00e9\n".encode("latin-1") * 60,
        "one/minified.py": long_line,
        "one/tests/test_it.py": b"assert True\n" * 60,
        "one/short.py": b"pass\n",
        "one/LICENSE.txt": b"Permission is hereby granted\n" * 30,
        "one/guide.rst": b"How to use it, in a few words.\n" * 20,
    }
    make_package(site, "one", files=odd)
    # The same file in two packages.
    copy = {"copied/a.py": b"# the same in two packages\n" * 20}
    make_package(site, "two", files={f"two/{k}": v for k, v in copy.items()})
    make_package(site, "three", files={f"three/{k}": v for k, v in copy.items()})
    for number in range(9):
        make_package(site, f"more{number}")
    library = tmp_path / "lib"
    library.mkdir()
    (library / "module.py").write_text(f'"""{DOCSTRING}"""\n' + "x = 1\n" * 50)
    monkeypatch.setattr(sys, "path", [str(site)])
    monkeypatch.setattr(installed_text.sysconfig, "get_path", lambda name: str(library))
    return tmp_path


def read(folder):
    rows = []
    for file in sorted(folder.glob("*.jsonl.zst")):
        with zstandard.open(file, "rt", encoding="utf-8") as stream:
            rows += [json.loads(line) for line in stream]
    return rows


def test_code_and_prose_are_gathered_with_where_they_come_from(environment):
    found = gather_installed_text(environment / "out", heldout_fraction=0.2)
    rows = read(environment / "out" / "train") + read(environment / "out" / "heldout")
    by_id = {row["id"]: row for row in rows}
    assert len(by_id) == len(rows) == sum(found.documents.values())
    code = by_id["one-1.0/one/__init__.py"]
    assert (code["source"], code["license"]) == ("code", "MIT")
    assert code["metadata"] == {"package": "one", "version": "1.0"}
    assert by_id["one-1.0/one/__init__.py#docstrings"]["source"] == "prose"
    assert by_id["one-1.0/one/DESCRIPTION"]["text"].startswith("The one package")
    assert by_id["one-1.0/one/guide.rst"]["source"] == "prose"
    assert any(id_.startswith("python-") and id_.endswith("/module.py") for id_ in by_id)
    assert found.packages == 13
    assert sum(found.sources.values()) == sum(found.bytes.values())


def test_docstrings_may_be_a_source_of_their_own(environment):
    found = gather_installed_text(environment / "apart", docstrings_as="docstrings")
    rows = read(environment / "apart" / "train")
    assert {row["source"] for row in rows} == {"code", "docstrings", "prose"}
    apart = [row for row in rows if row["source"] == "docstrings"]
    assert all(row["path"].endswith("#docstrings") for row in apart)
    few = gather_installed_text(environment / "few", max_bytes_of={"code": 3000})
    assert 0 < few.sources["code"] <= 3000
    assert few.sources["prose"] > 3000
    assert found.sources["docstrings"] >= sum(len(row["text"].encode()) for row in apart) > 0


def test_what_is_unfit_is_left_out_and_counted(environment):
    found = gather_installed_text(environment / "out")
    assert found.left_out == {
        "binary": 1,
        "not UTF-8": 1,
        "a line of more than 2,000 characters": 1,
        "test or vendored file": 1,
        "shorter than 200 bytes": 1,
        "exact duplicate": 1,
    }
    rows = (environment / "out" / "left_out.jsonl").read_text().splitlines()
    assert {r["reason"]: r["files"] for r in map(json.loads, rows)} == found.left_out


def test_whole_packages_are_held_out(environment):
    gather_installed_text(environment / "out", heldout_fraction=0.3)
    sides = [
        {row["metadata"]["package"] for row in read(environment / "out" / side)}
        for side in ("train", "heldout")
    ]
    assert sides[1]
    assert not sides[0] & sides[1]
    assert "python" in sides[0]
    assert {row["source"] for row in read(environment / "out" / "heldout")} == {"code", "prose"}


def test_the_same_environment_gives_the_same_corpus(environment):
    def digests(name, **kwargs):
        gather_installed_text(environment / name, **kwargs)
        return {
            p.relative_to(environment / name): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in (environment / name).rglob("*.zst")
        }

    assert digests("a") == digests("b")
    assert digests("a") != digests("c", seed=1)


def test_a_budget_is_kept(environment):
    whole = gather_installed_text(environment / "whole")
    part = gather_installed_text(environment / "part", max_bytes=sum(whole.bytes.values()) // 2)
    # Docstrings come on top of the file that they stand in.
    assert sum(part.bytes.values()) <= sum(whole.bytes.values()) // 2 + 1000
    assert sum(part.bytes.values()) > sum(whole.bytes.values()) // 4


def test_an_environment_without_text_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(installed_text.sysconfig, "get_path", lambda name: str(tmp_path / "lib"))
    with pytest.raises(UserError, match="no text found in the Python environment"):
        gather_installed_text(tmp_path / "out")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("License-Expression: Apache-2.0", "Apache-2.0"),
        ("Classifier: License :: OSI Approved :: BSD License", "BSD License"),
        ("License: MIT License\n        with all its text", "MIT License"),
        ("Summary: none", "unknown"),
    ],
)
def test_licences_are_taken_from_where_they_stand(lines, expected):
    import email

    assert license_of(email.message_from_string(f"Name: a\n{lines}\n")) == expected


def test_docstrings_are_those_of_modules_classes_and_functions():
    code = (
        '"""A."""\nclass B:\n    """C."""\n    async def d(self):\n        """E."""\nx = """F"""\n'
    )
    assert docstrings_of(code) == ["A.", "C.", "E."]
    assert docstrings_of("def broken(:\n") == []
