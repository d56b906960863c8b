"""Which URLs are banned, by every way of comparing them with a list."""

import gzip

import pytest

from olmoflow.curate.pipeline.plan import build_step
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
def outcome_of(tmp_path, documents):
    """What becomes of documents with URLs, by a list of what is banned."""

    def apply(urls, banned, suffix=".txt", columns=None, **settings):
        file = tmp_path / f"list{len(list(tmp_path.iterdir()))}{suffix}"
        data = ("\n".join(banned) + "\n\n").encode()
        file.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
        table = documents(["text"] * len(urls), url=urls, **(columns or {}))
        settings = {"url_key": "url", "banlist_file": str(file), **settings}
        return build_step("url_substring_filter", settings)(table)

    return apply


@pytest.fixture
def judge(outcome_of):
    """Which URLs stay."""
    return lambda *arguments, **settings: outcome_of(*arguments, **settings).keep.tolist()


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_domains_ban_the_very_host(judge, suffix):
    found = judge(URLS, ["bad.example"], suffix, exact_domain_match=True)
    assert found == [True, True, True, True, False, True, True]
    banned = ["www.bad.example", "sub.bad.example"]
    found = judge(URLS, banned, suffix, exact_domain_match=True)
    assert found == [False, False, True, True, True, True, True]
    # Strings are left out of the host.
    found = judge(URLS, ["bad.example"], suffix, exact_domain_match=True, ignore_chars=["www."])
    assert found[0] is False


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (" HTTP:/\\bad.example\\x@y", "bad.example"),
        ("http:bad.example:80?q=http://good.example", "bad.example"),
        ("custom://u:p@Bad.example/", "bad.example"),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example"),
        ("http://b%61d.example", "bad.example"),
        ("http://[2001:DB8::1]:8080/", "[2001:db8::1]"),
    ],
)
def test_hosts_are_found_as_on_the_web(judge, url, host):
    assert judge([url, "http://x.example"], [host], exact_domain_match=True) == [False, True]


def test_what_has_no_host_is_an_error(outcome_of):
    urls = ["bad.example", "mailto:a@b.example", "http://", "", "http://good.example"]
    result = outcome_of(urls, ["bad.example"], exact_domain_match=True)
    assert set(result.errors) == {0, 1, 2}
    assert result.errors[0] == "url: 'bad.example' is no URL with a host"
    result = outcome_of(urls, ["bad.example"], exact_subdomain_match=True)
    assert set(result.errors) == {0}


def test_subdomains_ban_by_the_first_label_of_three(judge):
    urls = ["http://ads.x.example", "http://ads.example", "http://a.ads.example"]
    assert judge(urls, ["ads", "ads.x.example"], exact_subdomain_match=True) == [False, True, True]


def test_urls_ban_themselves_alone(judge):
    found = judge(URLS, ["https://good.example/"], exact_url_match=True)
    assert found == [True, True, True, True, True, False, True]


def test_the_first_way_of_comparing_decides(judge):
    urls = ["http://ads.x.example", "http://x.example", "http://x.example/ads"]
    both = {"exact_domain_match": True, "exact_subdomain_match": True, "exact_part_match": True}
    assert judge(urls, ["ads", "x.example"], **both) == [True, False, False]


def test_words_ban_as_parts_of_a_url_or_within_words(judge):
    urls = ["http://a.example/free-casino/", "http://casinos.example/", "http://a.example/"]
    assert judge(urls, ["casino"]) == [False, False, True]
    assert judge(urls, ["casino"], exact_part_match=True) == [False, True, True]
    assert judge(urls, ["casino"], match_substrings=False) == [False, True, True]
    # Only words can be parts; next to punctuation any entry can stand.
    assert judge(urls, ["free-casino"], exact_part_match=True) == [True, True, True]
    assert judge(urls, ["free-casino"], match_substrings=False) == [False, True, True]


def test_letters_of_other_scripts_belong_to_words_but_end_parts(judge):
    urls = [
        "http://a.example/\u00e9casino",
        "http://a.example/casino\u65e5",
        "x/\u2026casino\u00a7",
    ]
    assert judge(urls, ["casino"], match_substrings=False) == [True, True, False]
    assert judge(urls, ["casino"], exact_part_match=True) == [False, False, False]


def test_of_overlapping_entries_the_one_that_ends_first_counts(judge):
    urls = ["http://a.example/casino/", "http://a.example/cas/"]
    assert judge(urls, ["cas", "casino"], match_substrings=False) == [True, False]
    assert judge(urls, ["cas", "casino"], num_banned_substrs=2) == [True, True]
    assert judge(urls, ["free-casino", "a.example/free-casino"]) == [True, True]


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
    # Of exact parts, one is enough.
    settings |= {"exact_part_match": True}
    assert judge(urls, ["casino", "poker"], **settings) == [False, False, False]


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


def test_documents_without_a_url_go(judge):
    columns = {"other": [None, "http://a.example", None, None]}
    urls = [None, None, "", "http://a.example"]
    assert judge(urls, ["bad"], columns=columns, alt_url_key="other") == [False, True, True, True]
    assert judge(urls, ["bad"]) == [False, False, True, True]
    assert judge([""], ["bad"], url_key="metadata.url") == [False]


def test_a_list_that_cannot_be_read_is_refused(tmp_path):
    for name, data in (("cut.txt.gz", gzip.compress(b"a\n" * 99)[:20]), ("none.txt", b"\n\n")):
        (tmp_path / name).write_bytes(data)
        settings = {"url_key": "url", "banlist_file": str(tmp_path / name)}
        with pytest.raises(UserError, match=rf"url_substring_filter\.banlist_file=.*{name}"):
            build_step("url_substring_filter", settings)
