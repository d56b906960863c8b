"""What leaves a bounded folder, and in which order."""

import fcntl
import os

import pytest

from olmoflow.tokens.bounded_folder import BoundedFolder


@pytest.fixture
def folder(tmp_path):
    """Five files of 10 bytes, "0" the least recently used, in a folder bounded to 60."""
    bounded = BoundedFolder(tmp_path, 60)
    (tmp_path / "a").mkdir()
    for number in range(5):
        path = tmp_path / "a" / str(number)
        path.write_bytes(b"x" * 10)
        os.utime(path, (1000 + number, 1000 + number))
    return bounded


def left(folder):
    return sorted(p.name for p in (folder.root / "a").iterdir())


def make_room(folder, size, keep=(), leave_last=()):
    here = folder.root / "a"
    with folder.locked():
        return folder.make_room(size, [here / n for n in keep], [here / n for n in leave_last])


def test_nothing_leaves_while_there_is_room(folder):
    assert make_room(folder, 10)
    assert len(left(folder)) == 5


def test_the_least_recently_used_leaves_first(folder):
    assert make_room(folder, 25)
    assert left(folder) == ["2", "3", "4"]


def test_what_is_wanted_leaves_last_and_the_latest_wanted_first(folder):
    wanted = ["1", "0", "2"]
    assert make_room(folder, 20, leave_last=wanted)
    assert left(folder) == ["0", "1", "2", "4"]
    assert make_room(folder, 30, leave_last=wanted)
    assert left(folder) == ["0", "1", "2"]
    assert make_room(folder, 50, leave_last=wanted)
    assert left(folder) == ["1"]


def test_what_must_stay_stays_and_then_nothing_leaves_in_vain(folder):
    assert not make_room(folder, 50, keep=["0", "1"])
    assert len(left(folder)) == 5
    assert make_room(folder, 40, keep=["0", "1"])
    assert left(folder) == ["0", "1"]


def test_transfers_count_in_full_and_dead_ones_not_at_all(folder):
    partial = folder.root / "a" / ".5.40.partial"
    with partial.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not make_room(folder, 30)
        assert make_room(folder, 10)
        assert left(folder) == [".5.40.partial", "4"]
    assert make_room(folder, 50)
    assert left(folder) == ["4"]


def test_without_a_bound_nothing_leaves(folder):
    folder.limit = None
    assert make_room(folder, 10**12)
    assert len(left(folder)) == 5
