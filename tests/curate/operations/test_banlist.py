"""Lists of what is banned, and strings looked up in them."""

import gzip

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.curate.operations import banlist
from olmoflow.errors import UserError

NAME = "step"


def looked_up(strings, path, case_sensitive=False):
    found = banlist.on_list(pa.array(strings, pa.large_string()), NAME, str(path), case_sensitive)
    return found.tolist()


def test_lines_end_in_either_way_and_empty_ones_are_none(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\n\r\n\ntwo\n\rthree\r\nfour")
    strings = ["one", "two", "\rthree", "four", "", "\r", "three", "one\r"]
    assert looked_up(strings, tmp_path / "a.txt") == [True] * 4 + [False] * 4
    assert banlist.texts(NAME, str(tmp_path / "a.txt"), False) == ("one", "two", "\rthree", "four")


def test_case_counts_only_if_it_is_to(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("Bad.org\nSTRAẞE\n".encode()))
    path = tmp_path / "a.txt.gz"
    assert looked_up(["bad.org", "Bad.org", "straße"], path) == [True, False, True]
    assert looked_up(["bad.org", "Bad.org", "STRAẞE"], path, True) == [False, True, True]


@settings(max_examples=50)
@given(st.sets(st.text(min_size=1)), st.lists(st.text()))
def test_what_is_on_the_list_is_found_and_nothing_else(tmp_path_factory, listed, others):
    lines = {e for e in listed if "\n" not in e and not e.endswith("\r")} | {"always"}
    lines = {e.encode(errors="replace").decode() for e in lines}
    others = [e.encode(errors="replace").decode() for e in others]
    path = tmp_path_factory.mktemp("list") / "a.txt"
    path.write_bytes("\n".join(sorted(lines)).encode())
    strings = [*sorted(lines), *others]
    assert looked_up(strings, path, True) == [s in lines for s in strings]


def test_a_list_without_entries_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\n\r\n\n")
    with pytest.raises(UserError, match=r"step\.banlist_file=.*a file with an entry a line"):
        banlist.check(NAME, str(tmp_path / "a.txt"))
