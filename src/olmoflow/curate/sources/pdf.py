"""PDFs: their text layer by pypdfium2 on a CPU, or their pages read by olmocr on a GPU."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from olmoflow.curate.sources.location import SourceFile, local_copy
from olmoflow.documents import Document, Intake, documents_of_file, fault
from olmoflow.errors import UserError


def read_with_pypdfium2(path: Path, name: str, intake: Intake) -> Iterator[Document]:
    """The text layer of a PDF, its pages separated by an empty line.

    A damaged or encrypted file and one without a text layer (scanned pages) are set apart.
    """
    import pypdfium2

    intake.file_bytes += path.stat().st_size
    try:
        with pypdfium2.PdfDocument(path) as pdf:
            pages = [_page_text(pdf, number) for number in range(len(pdf))]
            title = pdf.get_metadata_value("Title")
    except pypdfium2.PdfiumError as error:
        intake.reject(path, 1, f"the PDF cannot be read ({error})")
        return
    text = "\n\n".join(page for page in pages if page)
    if not text:
        intake.reject(path, 1, f"none of {len(pages)} pages has a text layer; read.pdf=olmocr")
        return
    if reason := fault(text, intake.max_document_bytes):
        intake.reject(path, 1, reason)
        return
    intake.documents += 1
    folder, _, _ = name.rpartition("/")
    metadata = {"pages": len(pages), **({"title": title} if title else {})}
    yield Document(name, text, folder or "pdf", path=name, metadata=metadata)


def _page_text(pdf: object, number: int) -> str:
    page = pdf[number]  # type: ignore[index]
    try:
        text: str = page.get_textpage().get_text_bounded()
    finally:
        page.close()
    # U+FFFE stands for a hyphen at a line's end, which joins the halves of a word.
    joined = text.replace("\r\n", "\n").replace("\ufffe\n", "").replace("\ufffe", "")
    return joined.replace("\0", "").strip()


def read_with_olmocr(
    files: Sequence[SourceFile], intake: Intake, scratch: Path
) -> Iterator[Document]:
    """PDFs through olmocr's own pipeline, which leaves one JSON line a document.

    Raises:
        UserError: olmocr is not installed, or it fails.
    """
    check_olmocr()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch)))
        paths = [str(stack.enter_context(local_copy(file, scratch))) for file in files]
        names = dict(zip(paths, (file.name for file in files), strict=True))
        command = [sys.executable, "-m", "olmocr.pipeline", str(folder), "--pdfs", *paths]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"read.pdf=olmocr: olmocr failed with {done.returncode}: {last}")
        seen = set()
        for result in sorted((folder / "results").glob("*.jsonl")):
            for document in documents_of_file(result, result.name, intake, everything=True):
                path = str(document.metadata.get("Source-File", ""))
                seen.add(path)
                name = names.get(path, document.id)
                yield Document(
                    name, document.text, "pdf", name, created=document.created,
                    metadata=document.metadata,
                )  # fmt: skip
        for path in paths:
            if path not in seen:
                intake.reject(Path(path), 1, "olmocr made no document of it")


def check_olmocr() -> None:
    """Raise unless olmocr is installed."""
    if importlib.util.find_spec("olmocr") is None:
        raise UserError(
            "read.pdf=olmocr: the package olmocr is not installed (it needs a GPU); "
            "read.pdf=pypdfium2 takes the text layer on a CPU"
        )
