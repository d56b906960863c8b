"""What is printed of an evaluation: the tree, and below it what happened to questions."""

from olmoflow.commands.evaluate.tables import print_tasks


def task(n, **outcomes):
    return {"score": 0.5, "stderr": 0.1, "n": n, "metric": "acc_raw", "outcomes": outcomes}


def test_what_happened_to_questions_is_a_line_however_many_tasks_it_befell(capsys):
    tasks = {f"t{number}:mc": task(4, truncated=number, scored=4) for number in range(6)}
    tasks["reading:gen"] = task(4, no_answer=2, truncated=1)
    parts = {name: {**row, "task": name} for name, row in tasks.items()}
    best = {"score": 0.5, "stderr": 0.1, "n": 4, "aggregate": "best_format", "chosen": "mc"}
    result = {"suite": "s", "score": 0.5, "stderr": 0.1, "n": 28, "parts": {**parts, "b": best}}
    print_tasks({**result, "tasks": tasks, "evaluation": "e", "path": "p"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "reading:gen: 2 without an answer",
        "t1:mc, t2:mc, t3:mc and 3 more: 16 lost the beginning of their context",
        "evaluation e: p",
    ]
    assert any(line.split()[-3:] == ["the", "best:", "mc"] for line in lines)
