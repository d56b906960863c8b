"""report.json is read as it was written, and mistakes in it are named."""

import json

import pytest

from olmoflow.curate.report.data import read
from olmoflow.errors import UserError


def test_a_report_is_read_as_it_was_written(data, tmp_path):
    data.write(tmp_path / "report.json")
    assert read(tmp_path / "report.json") == data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("title"), r"report\.title: missing"),
        (lambda r: r["steps"][1].pop("bytes_in"), r"report\.steps\[1\]\.bytes_in: missing"),
        (lambda r: r["steps"][0].update(seconds="3"), r"seconds: found str, expected float"),
        (lambda r: r["steps"][0].update(tokens_in=1.5), r"tokens_in: found float, expected int"),
        (lambda r: r["steps"][0].update(time=1), r"steps\[0\]\.time: no such field; expected name"),
        (lambda r: r["mixtures"][0]["before"].update(a="x"), r"before\.a: found str"),
        (lambda r: r["histograms"][0].update(before=[1]), "histogram length: 1 and 3 counts"),
        (lambda r: r["histograms"][1].update(edges=[1, 0, 2]), "quality: edges .*rise"),
        (lambda r: r.update(samples={}), r"report\.samples: found dict, expected list"),
    ],
)
def test_mistakes_name_the_field(data, tmp_path, change, message):
    path = tmp_path / "report.json"
    data.write(path)
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))
    with pytest.raises(UserError, match=message):
        read(path)


def test_what_is_no_json_is_an_error(tmp_path):
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(UserError, match=r"expected a report\.json"):
        read(tmp_path / "report.json")
