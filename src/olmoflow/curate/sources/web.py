"""Web pages: WARC archives by fastwarc, the text of their HTML by resiliparse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from olmoflow.documents import Document, Intake, fault

_HTML_TYPES = ("text/html", "application/xhtml+xml")


def read_warc(
    path: Path, name: str, intake: Intake, *, main_content: bool = True
) -> Iterator[Document]:
    """The HTML pages of a WARC archive (plain, gzip or zstd), one document a response.

    ``metadata`` has the WARC headers ``WARC-Target-URI`` and ``WARC-Date`` under their own names.
    Other content types are passed over. What cannot be read is set apart with the number of its
    record; a damaged archive is read up to the damage.
    """
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    limit = intake.max_document_bytes
    number = 0
    with path.open("rb") as stream:
        records = iter(ArchiveIterator(stream, record_types=WarcRecordType.response))
        while True:
            number += 1
            try:
                record = next(records)
                if (record.http_content_type or "").lower() not in _HTML_TYPES:
                    continue
                if limit is not None and record.content_length > limit:
                    intake.reject(path, number, f"a page of {record.content_length:,} bytes")
                    continue
                page, charset = record.reader.read(), record.http_charset
            except StopIteration:
                break
            except Exception as error:
                # fastwarc raises what its decompressors raise.
                reason = f"the archive is cut or damaged from here on ({error})"
                intake.reject(path, number, reason)
                break
            headers = dict(record.headers)
            address = headers.get("WARC-Target-URI", "")
            given = Document(
                id=headers.get("WARC-Record-ID", "").strip("<>") or f"{name}:{number}",
                text="",
                source=name.rpartition("/")[2].partition(".")[0],
                url=address,
                created=headers.get("WARC-Date", ""),
                metadata={k: headers[k] for k in ("WARC-Target-URI", "WARC-Date") if k in headers},
            )
            yield from _document(given, page, charset, path, number, intake, main_content)
    intake.file_bytes += path.stat().st_size


def read_html(
    path: Path, name: str, intake: Intake, *, main_content: bool = True
) -> Iterator[Document]:
    """An HTML file as a document."""
    size = path.stat().st_size
    intake.file_bytes += size
    if intake.max_document_bytes is not None and size > intake.max_document_bytes:
        intake.reject(path, 1, f"a page of {size:,} bytes, more than max_document_bytes allows")
        return
    folder, _, _ = name.rpartition("/")
    given = Document(id=name, text="", source=folder or "html", path=name)
    yield from _document(given, path.read_bytes(), None, path, 1, intake, main_content)


def _document(
    given: Document,
    page: bytes,
    charset: str | None,
    path: Path,
    number: int,
    intake: Intake,
    main_content: bool,
) -> Iterator[Document]:
    try:
        text, title = html_text(page, charset, main_content=main_content)
    except Exception as error:
        intake.reject(path, number, f"the HTML cannot be read ({error})")
        return
    # A page may well hold nothing but a picture: no text is no mistake.
    if not text.strip():
        return
    if reason := fault(text, intake.max_document_bytes):
        intake.reject(path, number, reason)
        return
    intake.documents += 1
    metadata = {**given.metadata, **({"title": title} if title else {})}
    yield Document(given.id, text, given.source, given.path, "", given.url, given.created, metadata)


def html_text(
    page: bytes, charset: str | None = None, *, main_content: bool = True
) -> tuple[str, str]:
    """The text of a page and its title; NUL characters are left out, as browsers do."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding
    from resiliparse.parse.html import HTMLTree

    tree: Any = HTMLTree.parse(_decoded(page, charset, bytes_to_str, detect_encoding))
    text: str = extract_plain_text(tree, preserve_formatting=True, main_content=main_content)
    title: str = tree.title or ""
    return text.replace("\0", ""), title.replace("\0", "").strip()


def _decoded(page: bytes, charset: str | None, bytes_to_str: Any, detect_encoding: Any) -> str:
    try:
        text: str = bytes_to_str(page, charset or detect_encoding(page))
    except LookupError:  # the server names an encoding that does not exist
        text = bytes_to_str(page, detect_encoding(page))
    return text
