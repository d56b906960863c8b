"""Documents from the Hub, S3 and Google Cloud Storage, each behind a server that speaks its API."""

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import zstandard

from olmoflow.curate.sources.location import files_at, marks
from olmoflow.curate.sources.reading import Reading, read_unit, source_units
from olmoflow.documents import Intake
from olmoflow.errors import UserError


def lines(*ids):
    rows = [{"id": i, "text": f"the text of {i}"} for i in ids]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


FILES = {
    "data/common_crawl-art/shard_0.jsonl.zst": zstandard.compress(lines("a0", "a1")),
    "data/common_crawl-art/shard_1.jsonl.gz": gzip.compress(lines("a2")),
    "data/common_crawl-games/shard_0.jsonl.zst": zstandard.compress(lines("g0")),
}
ALL = [("a0", "data/common_crawl-art"), ("a1", "data/common_crawl-art"),
       ("a2", "data/common_crawl-art"), ("g0", "data/common_crawl-games")]  # fmt: skip


def read(location, scratch):
    """Id and source of all documents at a location."""
    how = Reading()
    intake = Intake(0)
    units = source_units([location], how)
    found = [(d.id, d.source) for u in units for d in read_unit(u, how, intake, scratch)]
    assert not list(scratch.iterdir())
    return found


@pytest.fixture
def serve():
    """A function that starts a server: ``answer(path, query)`` returns JSON or bytes, or None."""
    servers = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                parts = urlsplit(self.path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                found = answer(parts.path, parse_qs(parts.query))
                body = found if isinstance(found, bytes) else json.dumps(found).encode()
                span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
                whole = len(body)
                self.send_response(404 if found is None else 206 if span else 200)
                if span:
                    first, last = int(span[1]), min(int(span[2] or whole), whole - 1)
                    body = body[first : last + 1]
                    self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": len(body),
                    "ETag": f'"{hashlib.sha256(body).hexdigest()}"',
                    "X-Repo-Commit": COMMIT,
                }.items():
                    self.send_header(name, str(value))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "allenai/dolma3_mix-6T-1025"
READ_IT = """
import sys, pathlib
sys.path[:0] = [sys.argv[1]]
from test_location import read
from olmoflow.errors import UserError
scratch = pathlib.Path(sys.argv[2])
for location in sys.argv[3:]:
    try:
        print(read(location, scratch))
    except UserError as error:
        print(error)
"""


def test_a_published_dataset_is_read_from_the_hub(serve, tmp_path):
    """In a process of its own: huggingface_hub reads its settings when it is imported."""

    def answer(path, query):
        path = unquote(path)
        if re.fullmatch(rf"/api/datasets/{REPOSITORY}(/revision/(main|{COMMIT}))?", path):
            names = [*FILES, "README.md", ".gitattributes"]
            sizes = [len(FILES.get(name, b"x")) for name in names]
            siblings = [
                {"rfilename": name, "size": size, "blobId": hashlib.sha1(name.encode()).hexdigest()}
                for name, size in zip(names, sizes, strict=True)
            ]
            return {"_id": "1", "id": REPOSITORY, "sha": COMMIT, "siblings": siblings}
        return FILES.get(path.removeprefix(f"/datasets/{REPOSITORY}/resolve/{COMMIT}/"))

    settings = {"HF_ENDPOINT": serve(answer), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    settings |= {"HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": os.pathsep.join(sys.path)}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    locations = [
        f"hf:{REPOSITORY}",
        f"hf:{REPOSITORY}@main:data/*games/*",
        f"hf:{REPOSITORY}:data/*sports*",
        "hf:allenai/none",
    ]
    here = str(Path(__file__).parent)
    found = subprocess.run(
        [sys.executable, "-c", READ_IT, here, str(scratch), *locations],
        env={**os.environ, **settings}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    everything, games, sports, none = found.stdout.splitlines()
    assert everything == str(ALL)
    assert games == str(ALL[3:])
    assert sports.startswith(f"source=hf:{REPOSITORY}:data/*sports*: no file matches data/*sports*")
    assert none.startswith("source=hf:allenai/none: the Hub did not answer (")


def test_s3_gives_documents(tmp_path, s3):
    s3.create_bucket(Bucket="lab")
    for name, data in FILES.items():
        s3.put_object(Bucket="lab", Key=f"crawl/{name}", Body=data)
    s3.put_object(Bucket="lab", Key="crawl2/other.jsonl", Body=lines("of another folder"))
    assert read("s3://lab/crawl", tmp_path) == ALL
    before = marks(files_at("s3://lab/crawl"))
    s3.put_object(Bucket="lab", Key=f"crawl/{next(iter(FILES))}", Body=gzip.compress(b""))
    assert marks(files_at("s3://lab/crawl")) != before
    (one,) = files_at("s3://lab/crawl2/other.jsonl")
    assert (one.name, one.size) == ("other.jsonl", len(lines("of another folder")))
    with pytest.raises(UserError, match="source=s3://lab/none: no file there"):
        files_at("s3://lab/none")
    with pytest.raises(UserError, match=r"source=s3://no-bucket/x: cannot be listed \(The spec"):
        files_at("s3://no-bucket/x")


def test_google_cloud_storage_gives_documents(serve, tmp_path, monkeypatch):
    def item(name):
        return {
            "kind": "storage#object", "name": f"crawl/{name}", "bucket": "lab", "generation": "1",
            "size": str(len(FILES[name])), "etag": hashlib.sha1(FILES[name]).hexdigest(),
            "updated": "2026-01-01T00:00:00.000Z", "timeCreated": "2026-01-01T00:00:00.000Z",
        }  # fmt: skip

    def answer(path, query):
        name = unquote(path.partition("/b/lab/o/")[2]).removeprefix("crawl/")
        if name in FILES:
            return (
                FILES[name] if "/download/" in path or query.get("alt") == ["media"] else item(name)
            )
        if path.endswith("/b/lab/o"):
            prefix = query.get("prefix", [""])[0]
            return {"items": [item(n) for n in FILES if f"crawl/{n}".startswith(prefix)]}
        return None

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", serve(answer))
    assert read("gs://lab/crawl", tmp_path) == ALL
    with pytest.raises(UserError, match="source=gs://lab/none: no file there"):
        files_at("gs://lab/none")
