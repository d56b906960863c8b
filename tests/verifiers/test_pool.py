"""A worker may hang, crash or overeat, and only its own answer suffers."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import judges
import pytest

from olmoflow.errors import UserError
from olmoflow.verifiers import Answer
from olmoflow.verifiers.pool import JudgePool


def pool_of(workers, deadline):
    """A short deadline is for what never ends: a busy machine may hold up anything else."""
    settings = {"workers": workers, "deadline": deadline, "memory_mb": 500}
    return JudgePool(judges.misbehave, warm=judges.warm, **settings)


@pytest.fixture(scope="module")
def pool():
    pool = pool_of(workers=2, deadline=600)
    yield pool
    pool.close()


def test_one_stuck_answer_is_a_timeout_and_the_others_are_judged():
    pool = pool_of(workers=2, deadline=5)
    texts = ["a", "hang", "b", "spin", "a"]
    verdicts = pool.judge([Answer(text, "a") for text in texts])
    pool.close()
    assert [v.outcome for v in verdicts] == ["scored", "timeout", "scored", "timeout", "scored"]
    assert [v.score for v in verdicts] == [1, 0, 0, 0, 1]
    assert "within 5 s" in verdicts[1].detail


@pytest.mark.parametrize(
    ("text", "says"),
    [("die", "exit code 3"), ("eat", "500 MB"), ("raise", "LookupError: two lines")],
)
def test_what_breaks_a_judge_is_an_error_that_says_so(pool, text, says):
    verdicts = pool.judge([Answer(text, None), Answer("a", "a")])
    assert [v.outcome for v in verdicts] == ["error", "scored"]
    assert says in verdicts[0].detail


def test_workers_serve_many_answers_and_any_thread(pool):
    seen = []
    thread = threading.Thread(
        target=lambda: seen.extend(pool.judge([Answer("pid", None)] * 20)), daemon=True
    )
    thread.start()
    thread.join(600)
    assert len(seen) == 20
    assert 1 <= len({verdict.extracted for verdict in seen} - {str(os.getpid())}) <= 2


def test_a_closed_pool_starts_again():
    pool = pool_of(workers=1, deadline=600)
    pool.close()
    assert pool.judge([]) == []
    first = pool.judge([Answer("pid", None)])[0].extracted
    pool.close()
    assert not Path(f"/proc/{first}").exists()
    assert pool.judge([Answer("pid", None)])[0].outcome == "scored"
    pool.close()


def test_workers_die_with_a_process_that_is_killed(tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(
        textwrap.dedent(
            """
            import threading, time, judges
            from olmoflow.verifiers import Answer
            from olmoflow.verifiers.pool import JudgePool

            if __name__ == "__main__":
                pool = JudgePool(
                    judges.misbehave, warm=judges.warm, workers=1, deadline=600, memory_mb=500
                )
                print(pool.judge([Answer("pid", None)])[0].extracted, flush=True)
                pool.judge([Answer("hang", None)])
            """
        )
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    owner = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    worker = Path(f"/proc/{int(owner.stdout.readline())}")
    assert worker.exists()
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    until = time.monotonic() + 60
    while _runs(worker):
        assert time.monotonic() < until, "the worker lives on"
        time.sleep(0.05)


def _runs(process):
    try:
        return "Z (zombie)" not in (process / "status").read_text()
    except OSError:
        return False


def test_a_worker_that_takes_anothers_place_has_its_imports_already(tmp_path):
    script = tmp_path / "owner.py"  # a process of its own, whose workers' server has yet to start
    script.write_text(
        textwrap.dedent(
            """
            import judges
            from olmoflow.verifiers import Answer
            from olmoflow.verifiers.instructions.verifier import InstructionVerifier
            from olmoflow.verifiers.math import MathVerifier
            from olmoflow.verifiers.pool import JudgePool
            from olmoflow.verifiers.reasoning_gym import ReasoningGymVerifier

            if __name__ == "__main__":
                settings = {"warm": judges.warm, "workers": 1, "deadline": 5.0, "memory_mb": 500}
                for verifier in (MathVerifier, InstructionVerifier, ReasoningGymVerifier):
                    verifier().close()  # asks for its packages, though it judges nothing
                JudgePool(judges.misbehave, preload="no_such_module", **settings).close()
                pool = JudgePool(judges.misbehave, preload="wave", **settings)
                packages = ["wave", "math_verify", "nltk", "reasoning_gym"]
                asked = [("pid", None), *(("imported", package) for package in packages)]
                answers = [Answer(*each) for each in asked]
                for verdict in pool.judge([*answers, Answer("hang", None), *answers]):
                    print(verdict.extracted or verdict.outcome)
                pool.close()
            """
        )
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    said = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    ).stdout.split()
    first, second = said[0], said[6]
    assert first != second
    assert said == [first, *["True"] * 4, "timeout", second, *["True"] * 4]


def test_workers_that_cannot_start_are_told_and_not_waited_for():
    pool = JudgePool(
        judges.misbehave, warm=judges.warm_without_package, workers=1, deadline=600, memory_mb=500
    )
    with pytest.raises(UserError, match=r"no_such_package.*olmoflow\[verifiers\]"):
        pool.judge([Answer("a", "a")])
    pool.close()


@pytest.mark.parametrize("name", ["workers", "deadline", "memory_mb"])
def test_limits_must_be_positive(name):
    settings = {"workers": 1, "deadline": 1.0, "memory_mb": 1, name: 0}
    with pytest.raises(UserError, match=f"{name}: found 0"):
        JudgePool(judges.misbehave, warm=judges.warm, **settings)
