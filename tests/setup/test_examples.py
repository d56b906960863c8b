"""Tests of properties draw the same examples whatever was imported by the tests before them."""

import importlib

import hypothesis
from hypothesis import strategies as st

STEADY = hypothesis.settings(derandomize=True, max_examples=300, database=None)


def drawn():
    found = []

    @STEADY
    @hypothesis.given(st.integers(), st.text())
    def draw(number, text):
        found.append((number, text))

    draw()
    return found


def test_what_is_imported_changes_no_example(tmp_path, monkeypatch):
    if hypothesis.settings.get_current_profile_name() != "steady":  # others were asked for
        return
    before = drawn()
    module = tmp_path / "with_constants_of_its_own.py"
    module.write_text("\n".join(f"A{n} = {n}{n}{n}5\nB{n} = 'text {n}'" for n in range(200, 300)))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(module.stem)
    assert drawn() == before
