"""Which URLs are banned, by every way of comparing them with a list."""

import gzip

import pytest

from olmoflow.curate.operations.registry import build_operation
from olmoflow.errors import UserError

URLS = [
    "https://www.Bad.example/page?q=1",
    "http://sub.bad.example:8080/",
    "https://notbad.example/bad.example",
    "bad.example",
    "https://user@bad.example#top",
    "https://good.example/",
    "",
]


@pytest.fixture
def judge(tmp_path, documents):
    """Which URLs stay, by a list of what is banned."""

    def apply(urls, banned, suffix=".txt", columns=None, **settings):
        file = tmp_path / f"list{len(list(tmp_path.iterdir()))}{suffix}"
        data = ("\n".join(banned) + "\n\n").encode()
        file.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
        table = documents(["text"] * len(urls), url=urls, **(columns or {}))
        settings = {"url_key": "url", "banlist_file": str(file), **settings}
        return build_operation("url_substring_filter", settings)(table).keep.tolist()

    return apply


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_domains_ban_the_hosts_below_them(judge, suffix):
    found = judge(URLS, ["bad.example"], suffix, exact_domain_match=True)
    assert found == [False, False, True, False, False, True, True]
    deep = ["http://a.b.c.co.uk/x", "http://co.uk", "http://uk"]
    assert judge(deep, ["c.co.uk"], exact_domain_match=True) == [False, True, True]


def test_hosts_ban_themselves_alone(judge):
    found = judge(URLS, ["bad.example"], exact_subdomain_match=True)
    assert found == [False, True, True, False, False, True, True]
    found = judge(URLS, ["sub.bad.example", "www.bad.example"], exact_subdomain_match=True)
    assert found == [False, False, True, True, True, True, True]


def test_urls_ban_themselves_alone(judge):
    found = judge(URLS, ["https://good.example/"], exact_url_match=True)
    assert found == [True, True, True, True, True, False, True]


def test_domains_and_hosts_can_both_be_looked_at(judge):
    banned = ["bad.example", "sub.fine.example"]
    urls = ["http://x.bad.example", "http://sub.fine.example", "http://fine.example"]
    both = {"exact_domain_match": True, "exact_subdomain_match": True}
    assert judge(urls, banned, **both) == [False, False, True]


def test_words_ban_as_parts_of_a_url_or_within_words(judge):
    urls = ["http://a.example/free-casino/", "http://casinos.example/", "http://a.example/"]
    assert judge(urls, ["casino"]) == [False, False, True]
    assert judge(urls, ["casino"], exact_part_match=True) == [False, True, True]
    assert judge(urls, ["casino"], match_substrings=False) == [False, True, True]
    # Only words can be parts; next to punctuation any entry can stand.
    assert judge(urls, ["free-casino"], exact_part_match=True) == [True, True, True]
    assert judge(urls, ["free-casino"], match_substrings=False) == [False, True, True]


def test_a_newline_in_a_url_moves_no_match_to_the_next_one(judge):
    urls = ["http://a.example/\ncasino\n", "http://b.example/", "http://casino.example"]
    assert judge(urls, ["casino"]) == [False, True, False]


def test_several_words_can_be_demanded(judge):
    urls = [
        "http://a.example/casino/poker",
        "http://casino.example",
        "http://casino.example/casino",
    ]
    settings = {"num_banned_substrs": 2}
    assert judge(urls, ["casino", "poker"], **settings) == [False, True, False]
    settings |= {"exact_part_match": True}
    assert judge(urls, ["casino", "poker"], **settings) == [False, True, False]


def test_characters_can_be_left_out(judge):
    urls = ["http://a.example/c.a-s_i.n/o", "http://a.example/"]
    assert judge(urls, ["casino"]) == [True, True]
    assert judge(urls, ["casino"], ignore_chars=[".", "-", "_", "/"]) == [False, True]


def test_case_counts_if_it_is_said_to(judge):
    urls = ["http://a.example/Casino", "http://a.example/casino"]
    assert judge(urls, ["CASINO"]) == [False, False]
    assert judge(urls, ["Casino"], case_sensitive=True) == [False, True]


def test_another_field_has_the_url_of_those_without(judge):
    columns = {"other": ["http://bad.example", "http://bad.example"]}
    found = judge(["", "http://a.example"], ["bad"], columns=columns, alt_url_key="other")
    assert found == [False, True]


def test_a_list_that_cannot_be_read_is_refused(tmp_path):
    for name, data in (("cut.txt.gz", gzip.compress(b"a\n" * 99)[:20]), ("none.txt", b"\n\n")):
        (tmp_path / name).write_bytes(data)
        settings = {"url_key": "url", "banlist_file": str(tmp_path / name)}
        with pytest.raises(UserError, match=rf"url_substring_filter\.banlist_file=.*{name}"):
            build_operation("url_substring_filter", settings)
