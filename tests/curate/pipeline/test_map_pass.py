"""A unit's way through consecutive map operations."""

import json

from olmoflow.curate.pipeline.map_pass import MapPass, MapWorker
from olmoflow.curate.pipeline.plan import steps_of
from olmoflow.curate.sources.reading import Reading
from olmoflow.curate.text import measures

FILTERS = [
    {"name": "page_len_filter", "length_type": "word", "lower_bound": 3},
    {"name": "word_len_filter", "lower_bound": 2, "upper_bound": 10},
    {"name": "stop_word_filter", "count_unique": False, "min_stop_word": 1},
]


def test_filters_that_drop_documents_do_not_have_the_others_measured_again(tmp_path, monkeypatch):
    texts = ["one", "a b c d e", "the water of the well", "water wells without", "to be or not"]
    rows = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    measured = []
    original = measures.measure_strings
    monkeypatch.setattr(
        measures, "measure_strings", lambda *text: measured.append(1) or original(*text)
    )
    (tmp_path / "out").mkdir()
    worker = MapWorker(MapPass(tuple(steps_of(FILTERS)), tmp_path / "out", Reading()))
    files = [{"url": str(file), "name": file.name, "size": file.stat().st_size, "mark": "1"}]
    account = worker.work({"number": 0, "kind": "documents", "files": files})
    assert [a["after"]["documents"] for a in account["accounts"]] == [5, 4, 3, 2]
    assert len(measured) == 1
