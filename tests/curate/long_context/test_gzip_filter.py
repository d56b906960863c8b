"""The ends of the order by compressibility, over a whole corpus."""

import random
import zlib

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from olmoflow.curate.long_context.gzip_filter import GzipFilter
from olmoflow.errors import UserError


def texts(number):
    """Texts that compress less and less: of more and more different letters."""
    draw = random.Random(0)
    return ["".join(chr(97 + draw.randrange(1 + n)) for _ in range(3000)) for n in range(number)]


def shards(tmp_path, *parts):
    paths = []
    for number, part in enumerate(parts):
        paths.append(tmp_path / f"{number}.parquet")
        column = pa.array(part, pa.large_string())
        parquet.write_table(
            pa.table({"id": [str(n) for n in range(len(part))], "text": column}), paths[-1]
        )
    return paths


def test_a_fifth_is_dropped_at_each_end_of_the_whole_corpus(tmp_path):
    made = texts(20)
    paths = shards(tmp_path, made[1::2], [], made[0::2])
    tables = list(GzipFilter().decide(paths, tmp_path))
    assert [len(table) for table in tables] == [10, 0, 10]
    kept = {0: tables[0]["keep"].to_pylist(), 1: tables[2]["keep"].to_pylist()}
    by_text = [kept[1 - n % 2][n // 2] for n in range(20)]
    assert by_text == [False] * 4 + [True] * 12 + [False] * 4
    assert tables[2]["reason"].to_pylist() == (
        ["compresses too well"] * 2 + [None] * 6 + ["compresses too little"] * 2
    )
    data = made[1].encode()
    assert tables[0]["metadata.gzip_ratio"][0].as_py() == len(zlib.compress(data)) / len(data)


def test_short_documents_take_no_part(tmp_path):
    (table,) = GzipFilter(min_bytes=100).decide(
        shards(tmp_path, ["a" * 99, "", *texts(5)]), tmp_path
    )
    assert table["keep"].to_pylist() == [True, True, False, True, True, True, False]
    assert table["metadata.gzip_ratio"].to_pylist()[:2] == [None, None]


def test_what_compresses_alike_stays(tmp_path):
    (table,) = GzipFilter(output=None).decide(shards(tmp_path, ["same " * 100] * 10), tmp_path)
    assert table["keep"].to_pylist() == [True] * 10
    assert table.column_names == ["keep", "reason"]


@pytest.mark.parametrize(("lowest", "highest"), [(0.5, 0.5), (-0.1, 0.2)])
def test_the_shares_have_to_leave_something(lowest, highest):
    with pytest.raises(UserError, match="lowest="):
        GzipFilter(lowest, highest)
