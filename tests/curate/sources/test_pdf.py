"""PDFs: the text layer of each page, and honest words where there is none."""

import json
import os
import sys

import pytest

from olmoflow.curate.sources.location import files_at
from olmoflow.curate.sources.pdf import read_with_olmocr, read_with_pypdfium2
from olmoflow.documents import Intake
from olmoflow.errors import UserError


def pdf(*pages):
    """A PDF with a line of text a page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 "
               b"/BaseFont /Helvetica >>"]  # fmt: skip
    kids = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    body, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    table += b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return body + table + end % (len(objects) + 1, len(body))


def test_the_text_layer_of_every_page(tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf("The first page.", "The second page."))
    (document,) = read_with_pypdfium2(path, "papers/a.pdf", Intake())
    assert document.text == "The first page.\n\nThe second page."
    assert (document.id, document.source) == ("papers/a.pdf", "papers")
    assert document.metadata["pages"] == 2


def test_damaged_and_scanned_files_are_set_apart(tmp_path):
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tmp_path / "scan.pdf").write_bytes(pdf(""))
    intake = Intake(1.0)
    for name in ("bad.pdf", "scan.pdf"):
        assert list(read_with_pypdfium2(tmp_path / name, name, intake)) == []
    bad, scan = intake.malformed
    assert "the PDF cannot be read" in bad.reason
    assert scan.reason == "none of 1 pages has a text layer; read.pdf=olmocr"


def test_olmocr_is_asked_through_its_own_pipeline(tmp_path, monkeypatch):
    """Against a stand-in that keeps to olmocr's command line and form of results."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pdf").write_bytes(pdf("a"))
    (tmp_path / "in" / "b.pdf").write_bytes(pdf("b"))
    files = files_at(str(tmp_path / "in"))
    with pytest.raises(UserError, match=r"read.pdf=olmocr: the package olmocr is not installed"):
        list(read_with_olmocr(files, Intake(), tmp_path))
    package = tmp_path / "packages" / "olmocr"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    row = {"id": "x", "text": "read by eye", "source": "olmocr", "metadata": {}}
    (package / "pipeline.py").write_text(
        "import json, pathlib, sys\n"
        "workspace, flag, *pdfs = sys.argv[1:]\n"
        "assert flag == '--pdfs' and len(pdfs) == 2\n"
        f"row = {json.dumps(row)}\n"
        "row['metadata']['Source-File'] = pdfs[0]\n"
        "results = pathlib.Path(workspace) / 'results'\n"
        "results.mkdir()\n"
        "(results / 'output_1.jsonl').write_text(json.dumps(row) + '\\n')\n"
    )
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    intake = Intake(1.0)
    (document,) = read_with_olmocr(files, intake, tmp_path)
    assert (document.id, document.text, document.source) == ("a.pdf", "read by eye", "pdf")
    assert intake.malformed[0].reason == "olmocr made no document of it"
