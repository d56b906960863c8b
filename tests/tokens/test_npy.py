"""Ai2's token arrays into shards: whole documents, a share of every label, within a budget."""

import functools
import http.server
import threading

import numpy as np
import pytest

from olmoflow.errors import UserError
from olmoflow.tokens import npy as npy_module
from olmoflow.tokens.npy import convert_npy_mix, draw_slices, read_manifest
from olmoflow.tokens.reader import TokenShards


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(npy_module, "_SLICE_BYTES", 8192)
    monkeypatch.setattr(npy_module, "_BLOCK_BYTES", 3000)
    monkeypatch.setattr("olmoflow.tokens.remote._FIRST_PAUSE", 0.01)


@pytest.fixture(scope="module")
def mix(tmp_path_factory, room):
    """A folder with arrays, a manifest that lists them, and the documents of each."""
    folder = tmp_path_factory.mktemp("mix")
    generator = np.random.default_rng(0)
    lines, documents = ["# a comment", ""], {}
    for label, files, size in (("web", 6, 9000), ("code", 4, 4000), ("maths", 1, 1500)):
        for number in range(files):
            path = f"pre/{{TOKENIZER}}/{label}/{number:06d}.npy"
            lines.append(f"{label},{path}")
            parts = []
            while sum(map(len, parts)) < size:
                body = generator.integers(0, 590, generator.integers(1, 120))
                parts.append([*body.tolist(), room.opened.eos_id])
            real = path.replace("{TOKENIZER}", "allenai/dolma2-tokenizer")
            target = folder / real
            target.parent.mkdir(parents=True, exist_ok=True)
            np.array([t for part in parts for t in part], np.uint32).tofile(target)
            documents[real] = parts
    manifest = folder / "some-mix.txt"
    manifest.write_text("\n".join(lines) + "\n")
    return folder, manifest, documents


def convert(mix, room, output, *, base_url=None, manifest=None, **kwargs):
    settings = {"max_bytes": 10**9, "chunk_tokens": 5000, **kwargs}
    return convert_npy_mix(
        str(manifest or mix[1]),
        output,
        base_url=str(base_url or mix[0]),
        tokenizer=room.opened,
        **settings,
    )


def test_the_whole_mix_loses_nothing(mix, room, tmp_path):
    found = convert(mix, room, tmp_path / "shards")
    documents = [(path, part) for path, parts in mix[2].items() for part in parts]
    assert found.documents == len(documents)
    assert found.tokens == sum(len(part) for _, part in documents)
    shards = TokenShards.open(tmp_path / "shards")
    table = shards.documents.to_pydict()
    ours = [(p, shards.document_tokens(i).tolist()) for i, p in enumerate(table["path"])]
    assert sorted(ours) == sorted(documents)
    shards.verify_all()


def test_a_part_is_whole_documents_in_proportion_within_the_budget(mix, room, tmp_path):
    total = sum((mix[0] / path).stat().st_size for path in mix[2])
    budget = total // 3
    read = []
    found = convert(
        mix, room, tmp_path / "shards", max_bytes=budget, progress=lambda d, t: read.append((d, t))
    )
    assert read[-1][0] == read[-1][1] <= budget
    # A slice loses what is cut at its ends: at most two documents of 121 tokens.
    assert found.tokens * 4 > 0.8 * budget
    shards = TokenShards.open(tmp_path / "shards")
    table = shards.documents.to_pydict()
    by_label = {}
    for row in range(found.documents):
        tokens = shards.document_tokens(row).tolist()
        path, _, position = table["id"][row].rpartition(":")
        assert path == table["path"][row]
        # The id leads back to the file, and the document starts there.
        raw = np.fromfile(mix[0] / path, np.uint32)
        assert raw[int(position) : int(position) + len(tokens)].tolist() == tokens
        assert position == "0" or raw[int(position) - 1] == room.opened.eos_id
        assert table["bytes"][row] == room.opened.token_sizes()[tokens].sum()
        by_label[table["source"][row]] = by_label.get(table["source"][row], 0) + len(tokens)
    for label, tokens in by_label.items():
        whole = sum(len(p) for path, ps in mix[2].items() if f"/{label}/" in path for p in ps)
        assert tokens / whole == pytest.approx(1 / 3, abs=0.12)
    assert len({(p, i) for p, i in zip(table["path"], table["id"], strict=True)}) == found.documents


def test_the_seed_decides_the_draw(mix, room, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        convert(mix, room, tmp_path / name, max_bytes=60_000, seed=seed)
    content = {n: TokenShards.open(tmp_path / n).content for n in "abc"}
    assert content["a"] == content["b"] != content["c"]


def test_slices_are_few_and_never_pass_the_budget():
    files = [npy_module.MixFile(f"l{i % 3}", f"f{i}") for i in range(300)]
    sizes = [4 * (5000 + 7 * i) for i in range(300)]
    for budget in (50_000, 500_000, sum(sizes), 10**9):
        slices = draw_slices(files, sizes, budget, 0)
        assert sum(s.end - s.start for s in slices) <= budget
        assert all(0 <= s.start < s.end <= s.size and not s.start % 4 for s in slices)
        assert sum(s.end - s.start for s in slices) > 0.9 * min(budget, sum(sizes))
        if budget < 10**6:
            assert len(slices) <= budget // 8192 + 3


def test_http_gives_the_same_shards_as_the_folder(mix, room, tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        """Knows no ranges, as simple servers do: it sends whole files."""

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(mix[0]))
    )
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        convert(mix, room, tmp_path / "folder", max_bytes=60_000)
        convert(mix, room, tmp_path / "http", max_bytes=60_000, base_url=url)
        (tmp_path / "bad.txt").write_text("web,pre/nowhere.npy\n")
        with pytest.raises(UserError, match=rf"{url}/pre/nowhere\.npy: missing"):
            convert(mix, room, tmp_path / "x", base_url=url, manifest=tmp_path / "bad.txt")
    finally:
        server.shutdown()
        server.server_close()
    folder, remote = (TokenShards.open(tmp_path / name) for name in ("folder", "http"))
    assert folder.content == remote.content


def test_names_of_mixes_lead_to_olmo_cores_lists(tmp_path, monkeypatch):
    lists = tmp_path / "olmo_core" / "data" / "mixes"
    lists.mkdir(parents=True)
    (tmp_path / "olmo_core" / "__init__.py").write_text("raise RuntimeError('never imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for name, folder in (
        ("OLMo-mix-0625-official", "allenai/dolma3-tokenizer"),
        ("OLMo-midtraining-mix-0925-ingredient1-100B", "allenai/dolma3-tokenizer"),
        ("OLMo-mix-0625-150Bsample", "allenai/dolma2-tokenizer"),
    ):
        (lists / f"{name}.txt").write_text("web,a/{TOKENIZER}/b.npy\n")
        assert [f.path for f in read_manifest(name)] == [f"a/{folder}/b.npy"]
    monkeypatch.setattr(npy_module, "MANIFESTS", str(lists))
    monkeypatch.setattr(npy_module.importlib.util, "find_spec", lambda name: None)
    assert read_manifest("OLMo-mix-0625-150Bsample")[0].label == "web"
    with pytest.raises(UserError, match=r"OLMo-mix-0999\.txt: missing"):
        read_manifest("OLMo-mix-0999")


def test_mistakes_are_told_in_one_line(mix, room, tmp_path):
    with pytest.raises(UserError, match=r"mix=a/b\.txt: no such file"):
        read_manifest("a/b.txt")
    bad = tmp_path / "bad.txt"
    bad.write_text("# only this\n")
    with pytest.raises(UserError, match=r"bad\.txt: empty; expected lines LABEL,PATH"):
        read_manifest(str(bad))
    bad.write_bytes(b"web,a.npy\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"bad\.txt:2: not valid UTF-8; expected LABEL,PATH"):
        read_manifest(str(bad))
    for no_file in (str(tmp_path), "nowhere.txt"):
        with pytest.raises(UserError, match=f"^mix={no_file}: no such file"):
            read_manifest(no_file)
    bad.write_text("web,a.npy\nno comma\n")
    with pytest.raises(UserError, match=r"bad\.txt:2: 'no comma': expected LABEL,PATH"):
        read_manifest(str(bad))
    (tmp_path / "a.npy").write_bytes(b"123")
    bad.write_text("web,a.npy\n")
    with pytest.raises(UserError, match=r"a\.npy: 3 bytes; expected an array of uint32"):
        convert(mix, room, tmp_path / "x", base_url=tmp_path, manifest=bad)
    np.array([5, 700], np.uint32).tofile(tmp_path / "a.npy")
    with pytest.raises(UserError, match=r"a\.npy: token id 700; expected .* below vocab_size=600"):
        convert(mix, room, tmp_path / "x", base_url=tmp_path, manifest=bad)
    with pytest.raises(UserError, match=r"max_bytes=40: no whole document of .* expected more"):
        convert(mix, room, tmp_path / "x", max_bytes=40)
