"""Remote shards: the same samples as local ones, from a bounded cache that processes share."""

import functools
import http.server
import multiprocessing
import pickle
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from olmoflow.errors import UserError
from olmoflow.tokens import remote as remote_module
from olmoflow.tokens.cache import CachedFiles, default_cache_dir
from olmoflow.tokens.reader import TokenShards

FOLDERS = 2 * 4096  # bytes of the folders themselves


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(remote_module, "_FIRST_PAUSE", 0.02)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; counts what is got, and fails as often as it is told to."""

    def do_GET(self):
        server = self.server
        name = self.path.rpartition("/")[2]
        with server.lock:
            server.got.append(name)
            failing = server.failures.get(name, 0)
            server.failures[name] = failing - 1
        if failing > 0:
            self.send_error(503)
        elif name in server.cut:
            server.cut.remove(name)
            data = (server.folder / name).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(room, tmp_path_factory):
    """A copy of the shards behind a local HTTP server, which has ``url`` and ``folder``."""
    folder = shutil.copytree(room.shards, tmp_path_factory.mktemp("served") / "shards")
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.folder, server.got, server.failures, server.cut = folder, [], {}, set()
    server.lock = threading.Lock()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def cached_bytes(folder):
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def many_chunks(room, folder):
    from olmoflow.tokens.shards import write_shards

    write_shards(room.corpus, room.tokenizer, folder, chunk_tokens=1500)
    return folder


def all_tokens(shards):
    return shards.read(0, len(shards))


def first_steps(shards, count, **kwargs):
    from olmoflow.tokens import Source, TokenDataModule  # slow: not for the processes below

    data = TokenDataModule(
        [Source(str(shards), shuffle_chunks=2)],
        sequence_length=32, global_batch_tokens=256, micro_batch_sequences=8, seed=1,
        document_mask=True, **kwargs,
    )  # fmt: skip
    loader = iter(data.loader(0, 1, 0))
    return [next(loader)[0] for _ in range(count)]


def assert_same_steps(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        assert all((ours[key] == theirs[key]).all() for key in ours)


def test_http_gives_the_samples_of_the_folder(room, served, tmp_path):
    found = first_steps(served.url, 60, cache_dir=tmp_path / "cache")
    assert_same_steps(found, first_steps(room.shards, 60))
    # Each file came once.
    assert sorted(served.got) == sorted(set(served.got))
    local, remote = (TokenShards.open(u, cache_dir=tmp_path) for u in (room.shards, served.url))
    assert local.content == remote.content
    assert remote.documents.equals(local.documents)


@pytest.mark.distributed
def test_workers_read_the_same_from_a_small_cache(room, served, tmp_path):
    shutil.rmtree(served.folder)
    many_chunks(room, served.folder)
    bound = 4 * max(p.stat().st_size for p in served.folder.iterdir())
    cache = tmp_path / "cache"
    found = first_steps(served.url, 40, num_workers=2, cache_dir=cache, cache_bytes=bound)
    assert_same_steps(found, first_steps(served.folder, 40))
    assert cached_bytes(cache / "shards") <= bound + FOLDERS


def test_s3_gives_the_tokens_of_the_folder(room, tmp_path, s3):
    s3.create_bucket(Bucket="lab")
    for file in room.shards.iterdir():
        s3.upload_file(str(file), "lab", f"corpus/train/{file.name}")
    shards = TokenShards.open("s3://lab/corpus/train", cache_dir=tmp_path)
    np.testing.assert_array_equal(all_tokens(shards), all_tokens(TokenShards.open(room.shards)))
    with pytest.raises(UserError, match=r"s3://lab/nowhere/digests\.json: missing"):
        TokenShards.open("s3://lab/nowhere", cache_dir=tmp_path)


def test_the_cache_stays_below_its_bound(room, served, tmp_path):
    shutil.rmtree(served.folder)
    local = TokenShards.open(many_chunks(room, served.folder))
    sizes = [p.stat().st_size for p in served.folder.iterdir()]
    bound = 3 * max(sizes)
    assert sum(sizes) > 3 * bound
    cache = tmp_path / "cache"
    shards = TokenShards.open(served.url, cache_dir=cache, cache_bytes=bound)
    largest, done = [0], threading.Event()

    def watch():
        while not done.is_set():
            largest[0] = max(largest[0], cached_bytes(cache / "shards"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    starts = np.random.default_rng(0).permutation(len(shards) - 100)[:300]
    for i, start in enumerate(starts.tolist()):
        shards.expect(starts[i : i + 20], 100)
        np.testing.assert_array_equal(shards.read(start, 100), local.read(start, 100))
    done.set()
    watcher.join()
    assert 0 < largest[0] <= bound + FOLDERS


def test_a_file_too_large_for_the_cache_is_named(served, tmp_path):
    with pytest.raises(UserError, match=r"cache_bytes=5,000: http.*chunk-0-0\.bin has [\d,]+ byt"):
        TokenShards.open(served.url, cache_dir=tmp_path, cache_bytes=5000).read(0, 1)


def test_what_is_wanted_next_is_there_before_it_is_read(room, served, tmp_path):
    files = CachedFiles(served.url, tmp_path)
    files.expect(["chunk-0-2.bin", "chunk-0-0.bin"])
    deadline = time.monotonic() + 300
    while not {p.name for p in files.folder.iterdir()} >= {"chunk-0-0.bin", "chunk-0-2.bin"}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    before = list(served.got)
    with files.open("chunk-0-2.bin") as file:
        assert file.read() == (room.shards / "chunk-0-2.bin").read_bytes()
    assert served.got == before


def test_nothing_leaves_for_a_file_that_is_wanted_later(room, served, tmp_path):
    shutil.rmtree(served.folder)
    many_chunks(room, served.folder)
    names = [f"chunk-0-{i}.bin" for i in range(6)]
    bound = sum((served.folder / name).stat().st_size for name in names[:3]) + 1
    files = CachedFiles(served.url, tmp_path, bound)
    files.open(names[5]).close()  # used, but not wanted any more
    files.expect(names[:5])
    for name in names[:3]:
        deadline = time.monotonic() + 300
        while not (files.folder / name).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    time.sleep(0.2)
    assert {p.name for p in files.folder.iterdir()} == set(names[:3])


def _read_all(url, cache, bound, seed, queue):
    shards = TokenShards.open(url, cache_dir=cache, cache_bytes=bound)
    generator = np.random.default_rng(seed)
    total = 0
    for _ in range(20):
        starts = generator.integers(0, len(shards) - 50, 8)
        shards.expect(starts, 50)
        total += sum(int(shards.read(start, 50).sum()) for start in starts.tolist())
    queue.put((seed, total))


@pytest.mark.distributed
def test_processes_share_a_cache(room, served, tmp_path):
    shutil.rmtree(served.folder)
    local = TokenShards.open(many_chunks(room, served.folder))
    bound = 4 * max(p.stat().st_size for p in served.folder.iterdir())
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    arguments = [(served.url, tmp_path / "cache", bound, seed, queue) for seed in (1, 2)]
    processes = [context.Process(target=_read_all, args=each) for each in arguments]
    for process in processes:
        process.start()
    found = dict(queue.get(timeout=600) for _ in processes)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for seed, total in found.items():
        generator = np.random.default_rng(seed)
        starts = [s for _ in range(20) for s in generator.integers(0, len(local) - 50, 8).tolist()]
        assert total == sum(int(local.read(start, 50).sum()) for start in starts)
    # Processes that end in the midst of a transfer leave its file: it is dead, and counts no more.
    assert cached_bytes(tmp_path / "cache" / "shards") <= bound + FOLDERS


def test_many_readers_of_one_file_fetch_it_once(served, tmp_path):
    caches = [CachedFiles(served.url, tmp_path) for _ in range(8)]
    served.got.clear()
    threads = [threading.Thread(target=c.open, args=("chunk-0-1.bin",)) for c in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert served.got == ["chunk-0-1.bin"]


def test_what_a_killed_process_left_is_no_hindrance(served, tmp_path):
    files = CachedFiles(served.url, tmp_path)
    size = (served.folder / "chunk-0-1.bin").stat().st_size
    (files.folder / f".chunk-0-1.bin.{size}.partial").write_bytes(b"half")
    (files.folder / f".chunk-0-0.bin.{10**12}.partial").write_bytes(b"half")
    bounded = CachedFiles(served.url, tmp_path, 10 * size)
    with bounded.open("chunk-0-1.bin") as file:
        assert file.read() == (served.folder / "chunk-0-1.bin").read_bytes()
    assert {p.name for p in files.folder.iterdir()} == {"chunk-0-1.bin"}


def test_mapped_tokens_outlive_their_file(room, served, tmp_path):
    shards = TokenShards.open(served.url, cache_dir=tmp_path)
    first = shards.read(0, 50)
    for path in tmp_path.rglob("chunk*"):
        path.unlink()
    np.testing.assert_array_equal(shards.read(0, 50), first)


@pytest.mark.parametrize("trouble", ["failures", "cut"])
def test_passing_trouble_passes(room, served, tmp_path, trouble):
    if trouble == "failures":
        served.failures = {"chunk-0-0.bin": 2, "digests.json": 1}
    else:
        served.cut = {"chunk-0-0.bin", "index.json"}
    shards = TokenShards.open(served.url, cache_dir=tmp_path)
    np.testing.assert_array_equal(all_tokens(shards), all_tokens(TokenShards.open(room.shards)))


def test_a_damaged_remote_chunk_is_named(served, tmp_path):
    chunk = served.folder / "chunk-0-1.bin"
    data = bytearray(chunk.read_bytes())
    data[-20] ^= 1
    chunk.write_bytes(data)
    shards = TokenShards.open(served.url, cache_dir=tmp_path)
    with pytest.raises(
        UserError, match=rf"^{served.url}/chunk-0-1\.bin: damaged, its sha256 is not the recorded"
    ):
        all_tokens(shards)
    assert not list(tmp_path.rglob("*chunk-0-1*"))


def test_a_damaged_copy_is_named_and_fetched_anew(room, served, tmp_path):
    shards = TokenShards.open(served.url, cache_dir=tmp_path)
    all_tokens(shards)
    (copy,) = tmp_path.rglob("chunk-0-1.bin")
    data = bytearray(copy.read_bytes())
    data[-20] ^= 1
    copy.write_bytes(data)
    again = TokenShards.open(served.url, cache_dir=tmp_path)
    with pytest.raises(UserError, match=r"chunk-0-1\.bin: damaged"):
        all_tokens(again)
    np.testing.assert_array_equal(all_tokens(again), all_tokens(TokenShards.open(room.shards)))


def test_new_shards_at_the_same_url_are_not_mixed_with_old_ones(room, served, tmp_path):
    all_tokens(TokenShards.open(served.url, cache_dir=tmp_path))
    shutil.rmtree(served.folder)
    local = TokenShards.open(many_chunks(room, served.folder))
    shards = TokenShards.open(served.url, cache_dir=tmp_path)
    np.testing.assert_array_equal(all_tokens(shards), all_tokens(local))


def test_a_server_that_has_vanished_is_told_in_one_line(served, tmp_path):
    shards = TokenShards.open(served.url, cache_dir=tmp_path)
    served.shutdown()
    served.server_close()
    with pytest.raises(UserError) as error:
        shards.read(0, 1)
    message = str(error.value)
    assert message.startswith(f"{served.url}/chunk-0-0.bin: cannot be fetched, tried 4 times: ")
    assert "\n" not in message
    with pytest.raises(UserError, match="cannot be fetched, tried 4 times"):
        TokenShards.open(served.url, cache_dir=tmp_path)


def test_wrong_urls_are_told_in_one_line(served, tmp_path):
    with pytest.raises(
        UserError, match=rf"{served.url}/nowhere/digests\.json: missing; expected .*/train"
    ):
        TokenShards.open(f"{served.url}/nowhere", cache_dir=tmp_path)
    (served.folder / "chunk-0-0.bin").unlink()
    with pytest.raises(UserError, match=rf"{served.url}/chunk-0-0\.bin: missing"):
        TokenShards.open(served.url, cache_dir=tmp_path).read(0, 1)
    with pytest.raises(UserError, match=r"^nope://a/b: .*nope"):
        TokenShards.open("nope://a/b", cache_dir=tmp_path)
    files = CachedFiles(served.url, tmp_path)
    with pytest.raises(UserError, match="expected one in its folder"):
        files.open("../outside")


def test_cached_files_go_to_another_process(room, served, tmp_path):
    shards = TokenShards.open(served.url, cache_dir=tmp_path)
    shards.expect(np.array([0]), 5)
    again = pickle.loads(pickle.dumps(shards))
    again.expect(np.array([0]), 5)
    np.testing.assert_array_equal(again.read(0, 50), TokenShards.open(room.shards).read(0, 50))


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("OLMOFLOW_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("OLMOFLOW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "olmoflow"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir().parts[-2:] == (".cache", "olmoflow")
    assert default_cache_dir().is_relative_to(Path.home())
