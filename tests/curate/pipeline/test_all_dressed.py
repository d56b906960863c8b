"""The web recipe of Dolma 3, composed from its file and run on pages of known faults."""

import gzip
import html
import io
import json
import subprocess
import sys

import pytest
import yaml
import zstandard

from olmoflow.commands.main import config_root, main
from olmoflow.curate.datamap import convert

ENGLISH = """The old harbour lies at the end of a narrow road that leads down from the hills.
Fishermen have mended their nets there for as long as anybody in the village can remember.
In summer the quay is full of visitors, and the smell of fried fish hangs over the water.
When the first storms of autumn come, the boats are pulled up and covered with heavy canvas.
Children used to learn how to swim between the stones, with a rope tied around the waist.
Nowadays most of them would rather play football on the new field that was built behind the school.
The keeper of the lighthouse wrote down the weather twice a day, and his books have been kept."""
GERMAN = """Der alte Hafen liegt am Ende einer schmalen Straße, die von den Hügeln hinunter führt.
Die Fischer haben dort ihre Netze geflickt, so lange sich irgend jemand im Dorf erinnern kann.
Im Sommer ist der Kai voller Besucher, und der Geruch von gebratenem Fisch hängt über dem Wasser.
Wenn die ersten Stürme des Herbstes kommen, werden die Boote hinaufgezogen und zugedeckt.
Die Kinder lernten früher zwischen den Steinen schwimmen, mit einem Seil um den Bauch."""
LISTS = {
    "refinedweb_banned_domains_curated": "bad-domain.com",
    "refinedweb_banned_words_strict_reverse_engineered": "strictword",
    "refinedweb_banned_words_hard_reverse_engineered": "hardword",
    "refinedweb_banned_words_soft_reverse_engineered": "softa\nsoftb",
    "fineweb_url_filters/domains": "finebad.com",
    "fineweb_url_filters/urls": "http://exact.org/page",
    "fineweb_url_filters/banned_words": "partword",
    "fineweb_url_filters/soft_banned_words": "mildc\nmildd",
    "fineweb_url_filters/banned_subwords": "subword",
    "madlad400_cursed": "lorem ipsum",
}
# fastText initialises a tenth of the weights with each thread, and with fewer not the rest.
TRAIN = """
import fasttext
model = fasttext.train_supervised(
    "train.txt", epoch=25, dim=8, bucket=1000, thread=10, verbose=0
)
model.save_model("language.bin")
"""
# By the step that is to remove it: the address and the text.
FAULTS = {
    "url_domains_curated": ("http://bad-domain.com/x", ENGLISH),
    "url_words_strict": ("http://e.org/strict-word", ENGLISH),
    "url_words_hard": ("http://e.org/hardword/", ENGLISH),
    "url_words_soft": ("http://e.org/softa/softb", ENGLISH),
    "url_domains": ("http://finebad.com/", ENGLISH),
    "url_addresses": ("http://exact.org/page", ENGLISH),
    "url_banned_words": ("http://e.org/partword-x", ENGLISH),
    "url_banned_subwords": ("http://e.org/xsubwordx", ENGLISH),
    "characters": ("http://e.org/1", "Too short."),
    "words": ("http://e.org/2", "Extraordinarily incomprehensible characterisations. " * 4),
    "word_len_filter": ("http://e.org/3", "a b c d " * 40),
    "symbol_ratio_filter": ("http://e.org/4", ENGLISH.replace(" t", " #t")),
    "stop_word_filter": (
        "http://e.org/5",
        "Lists contain several unrelated nouns only today. " * 9,
    ),
    "massive_web_repetition_filter": ("http://e.org/6", "The same line with the same words.\n" * 9),
    "english": ("http://e.org/7", GERMAN + " The Of And"),
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    for name, text in LISTS.items():
        path = tmp_path / "lists" / f"{name}.txt.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))
    lines = [f"__label__en {line}" for line in ENGLISH.splitlines()]
    lines += [f"__label__de {line}" for line in GERMAN.splitlines()]
    (tmp_path / "train.txt").write_text("\n".join(lines * 20))
    subprocess.run([sys.executable, "-c", TRAIN], cwd=tmp_path, check=True)
    return tmp_path


def test_written_for_datamap_it_is_the_same_recipe(home):
    text = (config_root() / "conf" / "pipeline" / "all_dressed.yaml").read_text()
    text = text.replace("${pipeline.banlists}", "lists")
    steps = yaml.safe_load(text.replace("${pipeline.language_model}", "language.bin"))["steps"]
    nodes = [{"name": s} if isinstance(s, str) else s for s in steps]
    theirs = [
        {
            "name": node["name"],
            "step": node.get("label"),
            "kwargs": {k: v for k, v in node.items() if k not in ("name", "label")},
        }
        for node in nodes
    ]
    assert convert({"name": "web", "text_field": "text", "pipeline": theirs}, "f") == nodes


def test_each_fault_is_removed_by_its_step(home, capsys):
    good = ENGLISH + "\n3 likes\nRead more...\nA B"
    rows = [{"id": name, "text": text, "url": url} for name, (url, text) in FAULTS.items()]
    rows.append({"id": "good", "text": good, "url": "http://e.org/good"})
    (home / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = "".join(f"<p>{html.escape(line)}</p>" for line in ENGLISH.splitlines())
    (home / "page.html").write_text(f"<html><body><main>{page}</main></body></html>")
    command = [
        "curate", "pipeline=all_dressed", "source=[in.jsonl,page.html]", "name=web",
        "pipeline.banlists=lists", "pipeline.language_model=language.bin", "output=json",
        "runtime.progress=false", "pipeline.heldout_fraction=0",
    ]  # fmt: skip
    assert main(command) == 0, capsys.readouterr().err
    made = json.loads(capsys.readouterr().out)
    report = json.loads((home / "artifacts" / "corpus" / "web" / "report.json").read_text())
    removed = {sample["id"]: sample["step"] for sample in report["samples"]}
    assert removed == {name: name for name in FAULTS}
    assert sum(made["documents"].values()) == 2
    documents = []
    for path in sorted((home / "artifacts" / "corpus" / "web" / "train").glob("*.zst")):
        with zstandard.open(path, "rb") as stream:
            documents += map(json.loads, io.TextIOWrapper(stream, "utf-8"))
    texts = {d["source"]: d["text"] for d in documents}
    assert "likes" not in texts["in"]
    assert "Read more" not in texts["in"]
    assert texts["in"].startswith(ENGLISH.splitlines()[0])
    assert ENGLISH.splitlines()[-1] in texts["html"]
    for document in documents:
        assert document["metadata"]["lang"]["__label__en"] > 0.65
        assert 0 < int(document["metadata"]["text_hash"]) < 2**128
        assert len(document["id"]) == 36
    assert "lists/refinedweb_banned_domains_curated" in json.dumps(
        json.loads((home / "artifacts" / "corpus" / "web" / "provenance.json").read_text())[
            "inputs"
        ]
    )
