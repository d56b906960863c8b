"""What a rank does before it trains."""

import gc
import sys

import pytest

from olmoflow.commands.train.rank import train


class Asked:
    """A module that is asked for its contents and has none."""

    def __init__(self):
        self.collecting = []

    def __getattr__(self, name):
        if not name.startswith("__"):
            self.collecting.append(gc.isenabled())
        raise AttributeError(name)


def test_no_garbage_is_looked_for_while_the_trainer_is_imported(monkeypatch, tmp_path):
    """Of the objects that Lightning's import makes all stay: to look costs a second."""
    module = Asked()
    monkeypatch.setitem(sys.modules, "olmoflow.train.fit", module)
    with pytest.raises(ImportError):
        train(tmp_path)
    assert module.collecting
    assert not any(module.collecting)
    assert gc.isenabled()
