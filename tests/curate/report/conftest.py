"""The data of a small report."""

import pytest

from olmoflow.curate.report.data import (
    ClusterSizes,
    Histogram,
    Mixture,
    ReportData,
    Sample,
    Step,
)


@pytest.fixture
def data():
    return ReportData(
        title="web of small & <large> pages",
        created="2026-11-25T14:00:00Z",
        facts={"runner": "native", "source": "crawl/2026"},
        steps=[
            Step("exact", 12000, 9000, 6_000_000, 4_500_000, 3.5, 1_400_000, 1_000_000),
            Step("length", 9000, 8000, 4_500_000, 4_400_000, 0.2, reasons={"too short": 1000}),
            Step("upsample", 8000, 16000, 4_400_000, 8_800_000, 1.0, None, 2_000_000),
        ],
        histograms=[
            Histogram("length", "bytes", [0, 100, 1000, 10000], [10, 20, 5], [0, 18, 5]),
            Histogram("quality", "", [0, 0.5, 1], [3, 4]),
        ],
        clusters=[ClusterSizes("exact", [2, 3, 9], [500, 20, 1])],
        mixtures=[Mixture("source", "bytes", {"a": 100, "b": 300}, {"a": 200, "c": 200})],
        samples=[
            Sample("length", "too short", "d1", "crawl", "<script>alert('&')</script>"),
            Sample("length", "too short", "d2", "crawl", "x" * 3000),
        ],
        settings="steps:\n- name: exact\n",
    )
