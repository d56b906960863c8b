"""The page: well formed, by itself, escaped, with the right numbers and heights."""

import re
from html.parser import HTMLParser

import pytest

from olmoflow.curate.report.data import Histogram, ReportData, Step
from olmoflow.curate.report.page import render, write_page

# Elements without an end.
VOID = {"meta", "rect", "line"}


class Tree(HTMLParser):
    """Checks that elements are closed as they were opened, and gathers them and the text."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" not in self.open:
            self.texts.append(text)

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(data):
    return Tree(render(data))


def test_the_page_needs_nothing_beside_itself(data):
    html = render(data)
    assert not re.search(r"https?:|src=|url\(|@import|<script|<link", html)
    assert all(one["href"].startswith("#") for one in Tree(html).of("a"))


def test_what_comes_from_documents_is_escaped(page):
    assert not page.of("script")
    assert "<script>alert('&')</script>" in page.texts
    assert page.texts.count("web of small & <large> pages") == 2


def test_every_section_is_linked_and_named(page):
    ids = [one["id"] for one in page.of("h2")]
    assert ids == [
        "funnel",
        "time",
        "distributions",
        "clusters",
        "mixture",
        "removed",
        "settings",
    ]
    assert [one["href"] for one in page.of("a")] == [f"#{id}" for id in ids]
    assert [one["aria-labelledby"] for one in page.of("section")] == ids
    assert all(one["aria-label"] for one in page.of("svg"))


def test_the_funnel_shows_what_is_left_of_the_most_there_was(page):
    bars = [one["style"] for one in page.of("span") if one.get("class") in ("left", "gone")][:12]
    documents, in_bytes = bars[0::4] + bars[1::4], bars[2::4] + bars[3::4]
    # Of 16,000 documents: 9,000, 8,000 and 16,000 left, 3,000, 1,000 and 0 removed.
    widths = [56.25, 50, 100, 18.75, 6.25, 0]
    assert documents == [f"width:{width:.3f}%" for width in widths]
    widths = [100 * n / 8.8 for n in (4.5, 4.4, 8.8, 1.5, 0.1, 0)]
    assert in_bytes == [f"width:{width:.3f}%" for width in widths]
    assert "9\u202f000 left, −25 % of documents, −25 % of bytes" in page.texts


def test_all_numbers_stand_in_tables(page):
    text = " ".join(page.texts)
    for wanted in (
        "12,000 9,000 6,000,000 4,500,000 1,400,000 1,000,000 0 3.5 s",
        "too short 1,000",
    ):
        assert wanted in text
    # A mixture: before and after with their shares, and the factor between them.
    assert "a 100 25.0 % 200 50.0 % 2 " in text
    assert "c 0 0.0 % 200 50.0 % –" in text


def test_histograms_are_as_high_as_their_counts(page):
    rects = [(one["class"], float(one["height"])) for one in page.of("rect")]
    # The highest mark of the first is at 20, of the second at 4; no bar for nothing.
    first = [("before", 50), ("before", 100), ("before", 25), ("after", 90), ("after", 25)]
    assert rects[:5] == first
    assert rects[5:7] == [("after", 75), ("after", 100)]


def test_empty_ends_of_a_length_are_left_out_and_of_a_score_are_not(data):
    edges, counts = [float(n) for n in range(6)], [0, 7, 0, 8, 0]
    data.histograms = [Histogram("length", "tokens", edges, counts)]
    assert Tree(render(data)).of("svg")[0]["viewbox"] == "0 0 3 100"
    data.histograms = [Histogram("score", "", edges, counts)]
    assert Tree(render(data)).of("svg")[0]["viewbox"] == "0 0 5 100"


def test_clusters_are_counted_in_sizes_that_double(page):
    assert "521 clusters of 1\u202f069 documents, the largest of 9. " in " ".join(page.texts)
    bins = [text for text in page.texts if text.startswith(("2: ", "3–4: ", "9–16: "))]
    assert bins == ["2: 500", "3–4: 20", "9–16: 1"]


def test_long_samples_are_cut(page):
    assert f"{'x' * 2000} …" in page.texts


def test_an_empty_run_and_one_without_counts_have_a_page(tmp_path):
    write_page(ReportData(title="nothing"), tmp_path / "report.html")
    assert Tree((tmp_path / "report.html").read_text()).of("h2") == []
    nothing = Step("filter", 0, 0, 0, 0)
    assert Tree(render(ReportData(title="no documents", steps=[nothing]))).of("h2")


def test_powers_of_two_are_told_as_such(data):
    data.histograms = [Histogram("length", "bytes", [512.0 * 2**n for n in range(13)], [1] * 12)]
    texts = Tree(render(data)).texts
    assert {"512 B", "2 KiB", "512 KiB", "2 MiB"} <= set(texts)
    assert "2.05 kB" not in texts
