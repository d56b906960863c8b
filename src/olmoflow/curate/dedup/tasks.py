"""Independent pieces of work, spread by Daft: over the cores here, over its cluster under Ray.

A piece of work is a number. It reads what it needs from files and leaves files, so nothing large
travels, and it releases the GIL in its compiled loops. Under Ray every node must see the folder.
"""

from __future__ import annotations

from collections.abc import Callable

from olmoflow.curate.stage import Progress

Task = Callable[[int], int]


def spread(task: Task, number: int, progress: Progress | None = None) -> list[int]:
    """Do ``task(0)`` … ``task(number - 1)``, several at a time.

    Args:
        task: A function that can be pickled. What it raises ends the whole.
        number: How many.
        progress: Called with (done, number) after each.

    Returns:
        What each returned, in order.
    """
    if number < 2:
        return [task(place) for place in range(number)]
    import daft

    @daft.func.batch(
        return_dtype=daft.DataType.struct(
            {"place": daft.DataType.int64(), "result": daft.DataType.int64()}
        ),
        batch_size=1,
        use_process=False,
    )
    def work(places: daft.Series) -> list[dict[str, int]]:
        return [{"place": place, "result": task(place)} for place in places.to_pylist()]

    places = daft.from_pydict({"place": list(range(number))})
    if daft.get_or_infer_runner_type() == "ray":
        places = places.into_partitions(number)
    results = [0] * number
    for done, row in enumerate(places.select(work(places["place"]).alias("done")).iter_rows(), 1):
        results[row["done"]["place"]] = row["done"]["result"]
        if progress is not None:
            progress(done, number)
    return results


def shifted(progress: Progress | None, before: int, whole: int) -> Progress | None:
    """The progress of a pass that follows ``before`` pieces of ``whole`` in others."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, whole)
