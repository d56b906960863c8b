"""Web pages: the main text of what a server answered, with its address and date."""

import gzip

import pytest

from olmoflow.curate.sources.web import read_html, read_warc
from olmoflow.documents import Intake

PAGE = """<html><head><title>On tea</title><script>var x = 1;</script></head><body>
<nav><a href="/">Home</a> <a href="/b">Shop</a></nav>
<article><h1>On tea</h1><p>{}</p><p>Water should boil; then wait a moment.</p></article>
<footer>Imprint</footer></body></html>"""
TEXT = "Tea is a drink made from leaves. " * 5


def record(kind="response", body=b"", address="http://e.org/tea", type_="text/html; charset=utf-8"):
    http = b"HTTP/1.1 200 OK\r\nContent-Type: " + type_.encode() + b"\r\n\r\n" + body
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{abs(hash(body))}>\r\n"
        f"WARC-Target-URI: {address}\r\nWARC-Date: 2024-05-01T00:00:00Z\r\n"
        f"Content-Type: application/http; msgtype={kind}\r\nContent-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


@pytest.fixture
def archive():
    page = PAGE.format(TEXT)
    latin = PAGE.format("Tee heißt auf Deutsch so. " * 8).encode("latin-1")
    return [
        record("request", b"GET /"),
        record(body=page.encode()),
        record(body=b"\x89PNG", type_="image/png"),
        record(body=latin, type_="text/html; charset=iso-8859-1", address="http://e.org/tee"),
        record(body=b"<html><body></body></html>"),
        record(body=page.replace("Tea", "T\0ea").encode(), type_="text/html; charset=none-such"),
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_the_pages_of_an_archive(tmp_path, archive, packed):
    path = tmp_path / ("a.warc.gz" if packed else "a.warc")
    path.write_bytes(b"".join(map(gzip.compress, archive)) if packed else b"".join(archive))
    intake = Intake(1.0)
    tea, tee, nul = read_warc(path, path.name, intake)
    assert not intake.malformed
    assert intake.documents == 3
    assert TEXT.strip() in tea.text
    assert "Water should boil" in tea.text
    assert "Home" not in tea.text
    assert "var x" not in tea.text
    assert (tea.url, tea.created, tea.source) == ("http://e.org/tea", "2024-05-01T00:00:00Z", "a")
    assert tea.metadata["title"] == "On tea"
    assert tea.metadata["WARC-Target-URI"] == tea.url
    assert tea.id.startswith("urn:uuid:")
    assert "heißt" in tee.text
    assert "\0" not in nul.text
    (everything, *_) = read_warc(path, path.name, Intake(1.0), main_content=False)
    assert "Shop" in everything.text


def test_a_cut_archive_is_read_up_to_the_cut(tmp_path, archive):
    whole = b"".join(map(gzip.compress, archive))
    path = tmp_path / "a.warc.gz"
    path.write_bytes(whole[: len(whole) - 100])
    intake = Intake(1.0)
    assert len(list(read_warc(path, path.name, intake))) >= 2
    assert len(intake.malformed) <= 1


def test_a_large_page_is_set_apart(tmp_path):
    path = tmp_path / "a.warc"
    path.write_bytes(record(body=PAGE.format("x " * 5000).encode()) + record(body=b"<p>small</p>"))
    intake = Intake(1.0, max_document_bytes=5000)
    (small,) = read_warc(path, path.name, intake, main_content=False)
    assert small.text.strip() == "small"
    assert "bytes" in intake.malformed[0].reason


def test_html_files(tmp_path):
    path = tmp_path / "tea.html"
    path.write_text(PAGE.format(TEXT))
    (tea,) = read_html(path, "wiki/tea.html", Intake())
    assert (tea.id, tea.path, tea.source) == ("wiki/tea.html", "wiki/tea.html", "wiki")
    assert TEXT.strip() in tea.text
