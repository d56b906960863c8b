"""The steps of Ai2's "all-dressed" web recipe, in its order and with its bounds.

Each planted document is made to be dropped by one step, and must get as far as that step.
"""

import pickle

import fasttext
import pytest

from olmoflow.curate.pipeline.plan import build_step
from olmoflow.curate.text.measures import keep_rows

PROSE = [
    "The harbour was quiet when the fishermen came back with their nets on the last boat.",
    "Nobody had expected that the storm would turn away from the coast during the night.",
    "In the morning they found the old lighthouse standing, though its lamp had gone out.",
    "A keeper climbed the stairs and lit it again, as keepers have done for two centuries.",
    "Children gathered shells and counted them, and the tide took most of their treasure.",
    "Later that week a letter arrived from the mainland, asking what the island had lost.",
]
GERMAN = [
    "Der Hafen war ruhig, als die Fischer mit ihren Netzen und dem letzten Boot zurueckkamen.",
    "Niemand hatte erwartet, dass der Sturm sich in der Nacht von der Kueste abwenden wuerde.",
    "Am Morgen fanden sie den alten Leuchtturm noch stehend, obwohl seine Lampe erloschen war.",
    "Ein Waerter stieg die Treppe hinauf und machte sie wieder an, wie seit zwei Jahrhunderten.",
    "Kinder sammelten Muscheln und zaehlten sie, und die Flut nahm ihnen das meiste wieder fort.",
]
GOOD = " ".join(PROSE[:3]) + "\n\n" + " ".join(PROSE[3:])
LISTED = "Home News Sports Weather Travel Books Music Film Art Food Shop About Contact Us. "


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """(step, name, settings), as published but for the files."""
    folder = tmp_path_factory.mktemp("all_dressed")
    lists = {"domains": "bad.example", "words": "casino\npoker", "cursed": "(?i)enable javascript"}
    for name, entries in lists.items():
        (folder / f"{name}.txt").write_text(entries + "\n")
    lines = [f"__label__en {s}\n" for s in PROSE] + [f"__label__de {s}\n" for s in GERMAN]
    (folder / "train.txt").write_text("".join(lines * 60))
    # With fewer threads fastText leaves a part of the weights without a first value.
    model = fasttext.train_supervised(
        str(folder / "train.txt"), epoch=20, dim=8, bucket=1000, thread=12, verbose=0
    )
    model.save_model(str(folder / "model.bin"))
    return [
        ("null", "non_null_filter", {}),
        ("domain", "url_substring_filter", url(folder / "domains.txt", exact_domain_match=True)),
        ("words", "url_substring_filter", url(folder / "words.txt", num_banned_substrs=2)),
        ("short", "page_len_filter", {"length_type": "char", "lower_bound": 150}),
        ("few", "page_len_filter", bounds("word", 50, 100000)),
        ("word_len", "word_len_filter", {"lower_bound": 3, "upper_bound": 10}),
        ("symbols", "symbol_ratio_filter", {"max_symbol_to_word_ratio": 0.1}),
        ("bullets", "bullet_filter", {"max_bullet_ratio": 0.9}),
        ("ellipses", "ellipsis_line_ratio_filter", {"max_ratio": 0.3}),
        ("numbers", "alphabetic_word_ratio_filter", {"max_ratio": 0.2}),
        ("stop_words", "stop_word_filter", {"min_stop_word": 2, "count_unique": True}),
        ("newlines", "newline_removal_modifier", {"max_consecutive": 2}),
        ("repetition", "massive_web_repetition_filter", {}),
        ("count", "word_count_adder", {"word_count_field": "metadata.words"}),
        ("upper", "ratio_line_modifier", {"check": "uppercase", "upper_bound": 0.5}),
        ("digits", "ratio_line_modifier", {"check": "numeric", "upper_bound": 0.999999}),
        ("counters", "regex_line_modifier", {}),
        ("lines", "line_len_modifier", {"lower_bound": 2}),
        ("cart", "substring_line_modifier", {"banlist": "items in cart", "max_len": 10}),
        ("more", "substring_line_modifier", more("Read more...", "suffix")),
        ("sign", "substring_line_modifier", more("Sign-in", "prefix")),
        ("removal", "word_removal_ratio_filter", removal()),
        ("newlines_again", "newline_removal_modifier", {"max_consecutive": 2}),
        ("language", "fasttext_annotator", lid(folder / "model.bin")),
        ("english", "float_filter", english()),
        ("madlad", "madlad400_sentence_annotator", madlad(folder / "cursed.txt")),
        ("rules", "madlad400_rule_filter", {"rules_to_remove": [[2, 5]], "remove_too_short": True}),
        ("hash", "hash_annotator", {"num_bits": 128}),
        ("id", "add_id", {"id_key": "metadata.uuid"}),
    ]


def url(file, **settings):
    return {"url_key": "url", "banlist_file": str(file), **settings}


def bounds(kind, lower, upper):
    return {"length_type": kind, "lower_bound": lower, "upper_bound": upper}


def more(banlist, location):
    return {"banlist": banlist, "max_len": 10, "location": location}


def removal():
    return {"word_count_field": "metadata.words", "upper_bound": 0.05}


def lid(model):
    return {"fast_text_file": str(model), "output_field": "metadata.lang"}


def english():
    return {"float_field": "metadata.lang.__label__en", "lower_bound": 0.65}


def madlad(cursed):
    return {"rules_to_include": [2, 5], "cursed_regex_file": str(cursed)}


# Which step drops it: the text, and perhaps the URL.
PLANTED = {
    "null": (None, ""),
    "domain": (GOOD, "https://bad.example/story"),
    "words": (GOOD, "https://fine.example/casino/poker"),
    "short": (PROSE[0], ""),
    "few": (" ".join(PROSE[:3]), ""),
    "word_len": (GOOD + " incomprehensibilities" * 120, ""),
    "symbols": (GOOD + " #tag" * 12, ""),
    "bullets": ("\n".join(f"* {sentence}" for sentence in PROSE), ""),
    "ellipses": ("\n".join(f"{sentence.rstrip('.')}..." for sentence in PROSE), ""),
    "numbers": (GOOD + " " + " ".join(str(n) for n in range(30)), ""),
    "stop_words": (" ".join(GERMAN), ""),
    "repetition": (GOOD + "\n\n" + GOOD, ""),
    "removal": (GOOD + "\nBUY ALL SHIPS TODAY\nVERY CHEAP BOATS\n12 likes\n3 shares\n99", ""),
    "english": (" ".join(GERMAN) + " The to", ""),
    "rules": (GOOD + " " + LISTED + "Please enable JavaScript now and go on. " * 2, ""),
    None: ("Sign-in\n" + GOOD + "\nRead more...", "https://fine.example/poker"),
}


def test_each_step_drops_what_it_is_there_for(recipe, documents):
    texts, urls = zip(*PLANTED.values(), strict=True)
    table = documents(list(texts), url=list(urls), path=[str(key) for key in PLANTED])
    dropped = {}
    for step, name, settings in recipe:
        # As it would come to a worker of a cluster.
        operation = pickle.loads(pickle.dumps(build_step(name, settings)))
        outcome = operation(table)
        assert outcome.errors == {}
        before = set(table.column("path").to_pylist())
        table = outcome.documents
        if outcome.keep is not None:
            table = keep_rows(table, outcome.keep)
        for path in before - set(table.column("path").to_pylist()):
            dropped[path] = step
    assert dropped == {str(key): key for key in PLANTED if key}
    (survivor,) = table.to_pylist()
    # Taken out were two links.
    assert survivor["text"] == GOOD
    assert survivor["metadata.words"] == len(GOOD.split()) + 4
    assert survivor["metadata.lang.__label__en"] > 0.9
    assert survivor["metadata.madlad_status"] == "survived"
