"""Configurations of datamap-rs: the same steps, and no argument passed over in silence."""

import dataclasses

import pytest

from olmoflow.curate.datamap import convert, convert_file
from olmoflow.curate.pipeline import registry
from olmoflow.errors import UserError


@dataclasses.dataclass
class Substring:
    banlist: str | list[str]
    max_len: int = 9
    text_field: str = "text"


@dataclasses.dataclass
class Regex:
    regex: str = "x"


@dataclasses.dataclass
class Urls:
    url_key: str
    banlist_file: str


@pytest.fixture(autouse=True)
def _operations(monkeypatch):
    found = {"substring_line_modifier": Substring, "regex_line_modifier": Regex, "urls": Urls}
    monkeypatch.setattr(registry, "map_operations", lambda: found)


def steps(*nodes, **top):
    return convert({"pipeline": list(nodes), **top}, "p.yaml")


def test_steps_keep_their_names_arguments_and_labels():
    found = steps(
        {"name": "substring_line_modifier", "step": "carts", "kwargs": {"banlist": "items"}},
        {"name": "regex_line_modifier"},
        name="ignored",
        text_field="body",
    )
    assert found == [
        {"name": "substring_line_modifier", "banlist": "items", "text_field": "body",
         "label": "carts"},
        {"name": "regex_line_modifier"},
    ]  # fmt: skip


def test_a_field_of_text_is_passed_over_where_none_is_read():
    lists = {"url_key": "url", "banlist_file": "b.txt"}
    found = steps({"name": "urls", "kwargs": {**lists, "text_field": "body"}}, text_field="body")
    assert found == [{"name": "urls", **lists}]


def test_files_start_from_the_folder_that_is_named(tmp_path):
    (tmp_path / "p.json").write_text(
        '{"pipeline": [{"name": "urls", "kwargs": {"url_key": "url", "banlist_file": "b.txt"}}]}'
    )
    (step,) = convert_file(tmp_path / "p.json", "/lists")
    assert step["banlist_file"] == "/lists/b.txt"


def test_the_other_commands_become_steps_over_the_whole_corpus():
    group = {
        "name": "minhash", "group_keys": ["metadata.minhash.cc_id"], "num_buckets": 16384,
        "sort_keys": [["metadata.date"]], "keep_idx": -1, "delete_after_read": False,
    }  # fmt: skip
    assert convert(group, "g.yaml") == [
        {"name": "group_filter", "group_keys": ["metadata.minhash.cc_id"],
         "sort_keys": [["metadata.date"]], "keep_idx": -1}
    ]  # fmt: skip
    (discrete,) = convert({"partition_key": "source", "max_file_size": 2.56e8}, "d.yaml")
    assert discrete == {
        "name": "discrete_partition", "partition_key": "source", "max_file_size": 256000000
    }  # fmt: skip
    (ranges,) = convert({"value": "score", "range_groups": [1, 2]}, "r.yaml")
    assert ranges["name"] == "range_partition"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [{"name": "substring_line_modifier", "kwargs": {"banlist": "a", "max_length": 10}}],
            r"p.yaml: step 0 \(substring_line_modifier\).max_length: datamap-rs reads max_len and",
        ),
        (
            [{"name": "regex_line_modifier", "step": "likes", "kwargs": {"regex_string": "a"}}],
            r"step 0 \(likes\).regex_string: datamap-rs reads regex and",
        ),
        (
            [{"name": "regex_line_modifier"}, {"name": "regex_line_modifer"}],
            r"step 1 \(regex_line_modifer\).name=.*did you mean regex_line_modifier\?",
        ),
        ([{"name": "shuffle"}], "no processor of datamap-rs"),
        ([{"name": "urls", "kwargs": {"url_key": "u"}}], r"\(urls\).banlist_file: missing"),
        ([{"name": "urls", "kwarg": {}}], r"\(urls\): kwarg: no such key; did you mean kwargs\?"),
        (["urls"], "step 0: expected a mapping"),
        (
            [{"name": "substring_line_modifier", "kwargs": {"banlist": "a", "max_len": "262,1"}}],
            "max_len='262,1': input should be a valid integer",
        ),
    ],
)
def test_what_is_unknown_names_the_step(nodes, message):
    with pytest.raises(UserError, match=message):
        steps(*nodes)


def test_what_is_no_configuration(tmp_path):
    (tmp_path / "p.yaml").write_text("a: [1\nb")
    with pytest.raises(UserError, match=r"p.yaml: cannot be read \("):
        convert_file(tmp_path / "p.yaml")
    with pytest.raises(UserError, match="found steps; expected pipeline, group_keys"):
        convert({"steps": []}, "p.yaml")
