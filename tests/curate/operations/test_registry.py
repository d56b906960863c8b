"""Every operation of datamap-rs is there, with its arguments; what is mistyped is refused."""

import pytest

from olmoflow.curate.operations.registry import OPERATIONS
from olmoflow.curate.pipeline.plan import build_step
from olmoflow.curate.pipeline.reference import REQUIRED, defaults
from olmoflow.errors import UserError

# The published names and arguments, without ``text_field``; a star: required.
ARGUMENTS = {
    "non_null_filter": "",
    "text_len_filter": "lower_bound upper_bound",
    "subsample": "subsample_rate",
    "url_substring_filter": "url_key* banlist_file* alt_url_key ignore_chars num_banned_substrs "
    "exact_domain_match exact_subdomain_match exact_url_match exact_part_match match_substrings "
    "case_sensitive",
    "float_filter": "float_field* lower_bound upper_bound negate default",
    "string_eq_filter": "keep_matches",
    "regex_text_filter": "regex_string* remove_matches",
    "page_len_filter": "length_type* lower_bound upper_bound ignore_punctuation",
    "word_len_filter": "lower_bound upper_bound",
    "symbol_ratio_filter": "max_symbol_to_word_ratio",
    "bullet_filter": "max_bullet_ratio",
    "ellipsis_line_ratio_filter": "max_ratio",
    "alphabetic_word_ratio_filter": "max_ratio",
    "stop_word_filter": "min_stop_word count_unique",
    "massive_web_repetition_filter": "",
    "word_removal_ratio_filter": "word_count_field upper_bound",
    "madlad400_rule_filter": "annotation_key status_key remove_too_short rules_to_remove threshold",
    "interval_filter": "interval_field* fuzzy_merge merge_fuzziness output_text_field",
    "ngram_repetition_filter": "tokenizer_name period_lb period_ub rep_count skip_offsets",
    "add_id": "id_key",
    "newline_removal_modifier": "max_consecutive",
    "ratio_line_modifier": "check* upper_bound*",
    "regex_line_modifier": "regex",
    "line_len_modifier": "lower_bound",
    "substring_line_modifier": "banlist* max_len remove_substring_only location",
    "rename_modifier": "",
    "sa_byte_modifier": "suffix_array_key text_key old_text_key check_paragraph check_newline "
    "check_sentences check_width gap_width proportion_removal doc_min_length metadata_key",
    "fasttext_annotator": "fast_text_file* output_field k threshold max_text_length",
    "ultrafineweb_annotator": "tokenizer_path fast_text_file output_field max_text_length",
    "word_count_adder": "word_count_field",
    "madlad400_sentence_annotator": "fast_text_file langid_field cursed_regex_file "
    "rules_to_include sentence_lower_bound sentence_question_upper_bound case_upper_bound "
    "case_tok_lower_bound char_len_lower_bound char_len_upper_bound tech_lower_bound",
    "hash_annotator": "hash_source hash_destination num_bits",
    "token_count_annotator": "tokenizer_name* output_field*",
    "gzip_annotator": "anno_field*",
    "max_extractor": "main_attribute* output_attribute* lower_bound keep_nulls",
    "dd_max_getter": "main_attribute prefix* output_attribute*",
    "constant_annotator": "",
}
DEFAULTS = {
    ("page_len_filter", "lower_bound"): 1,
    ("stop_word_filter", "min_stop_word"): 2,
    ("word_count_adder", "word_count_field"): "original_word_count",
    ("word_removal_ratio_filter", "word_count_field"): "original_word_count",
    ("ngram_repetition_filter", "tokenizer_name"): "cl100k",
    ("ngram_repetition_filter", "period_ub"): 13,
    ("ngram_repetition_filter", "rep_count"): 32,
    ("sa_byte_modifier", "check_width"): 50,
    ("fasttext_annotator", "output_field"): "metadata.fasttext",
    ("fasttext_annotator", "k"): 10,
    ("madlad400_sentence_annotator", "case_tok_lower_bound"): 12,
    ("madlad400_rule_filter", "threshold"): 0.2,
    ("hash_annotator", "num_bits"): 128,
    ("newline_removal_modifier", "max_consecutive"): 2,
    ("madlad400_sentence_annotator", "rules_to_include"): [],
    ("madlad400_sentence_annotator", "annotation_key"): "metadata.madlad",
    ("ultrafineweb_annotator", "fast_text_file"): "ft_classifiers/ultrafineweb.bin",
    ("url_substring_filter", "ignore_chars"): [],
}


def test_all_operations_are_there_with_their_arguments():
    assert set(OPERATIONS) == set(ARGUMENTS)
    assert len(OPERATIONS) == 37
    for name, arguments in ARGUMENTS.items():
        known = defaults(name)
        for argument in arguments.split():
            key = argument.rstrip("*")
            assert (known[key] == REQUIRED) == argument.endswith("*"), (name, key)
    for (name, key), default in DEFAULTS.items():
        assert defaults(name)[key] == default


def test_texts_are_read_from_the_field_that_is_named():
    with_a_text = {name for name in OPERATIONS if "text_field" in defaults(name)}
    without = set(OPERATIONS) - with_a_text
    assert without == {
        *("url_substring_filter", "float_filter", "string_eq_filter", "madlad400_rule_filter"),
        *("rename_modifier", "sa_byte_modifier", "hash_annotator", "max_extractor"),
        *("dd_max_getter", "constant_annotator"),
    }


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("page_length_filter", {}, r"name=page_length_filter: .*did you mean page_len_filter"),
        ("page_len_filter", {"length_typ": "word"}, r"page_len_filter\.length_typ: .*length_type"),
        ("page_len_filter", {}, r"page_len_filter\.length_type: missing; expected str"),
        (
            "page_len_filter",
            {"length_type": "byte"},
            r"page_len_filter\.length_type='byte': expected one of word, sentence, line",
        ),
        (
            "page_len_filter",
            {"length_type": "word", "lower_bound": 5, "upper_bound": 4},
            r"page_len_filter\.lower_bound=5: expected no more than upper_bound=4",
        ),
        # What YAML makes of "262,144".
        ("text_len_filter", {"upper_bound": "262,144"}, r"text_len_filter\.upper_bound=.*int"),
        ("text_len_filter", {"upper_bound": True}, r"upper_bound=True: expected int"),
        ("subsample", {"subsample_rate": 1.5}, r"subsample\.subsample_rate=1\.5: .*0 to 1"),
        ("regex_line_modifier", {"regex": "(a"}, r"regex_line_modifier\.regex='\(a': .*missing"),
        ("regex_text_filter", {"regex_string": r"(?=a)"}, r"regex_text_filter\.regex_string"),
        ("hash_annotator", {"num_bits": 32}, r"hash_annotator\.num_bits=32: .*128, 64"),
        (
            "url_substring_filter",
            {"url_key": "url", "banlist_file": "/no/such.txt"},
            r"url_substring_filter\.banlist_file='/no/such\.txt': expected a file",
        ),
        (
            "token_count_annotator",
            {"tokenizer_name": "cl100k_base", "output_field": "n"},
            r"token_count_annotator\.tokenizer_name='cl100k_base': expected cl100k, p50k",
        ),
        (
            "ngram_repetition_filter",
            {"tokenizer_name": "bytes", "rep_count": 1},
            r"ngram_repetition_filter\.rep_count=1: expected 2 or more",
        ),
        (
            "fasttext_annotator",
            {"fast_text_file": "/no/such.bin"},
            r"fasttext_annotator\.fast_text_file='/no/such\.bin': expected a file",
        ),
        (
            "madlad400_sentence_annotator",
            {"rules_to_include": [6]},
            r"madlad400_sentence_annotator\.rules_to_include=6: expected one of 1, 2, 3, 4, 5",
        ),
        (
            "madlad400_sentence_annotator",
            {"rules_to_include": [5]},
            r"madlad400_sentence_annotator\.cursed_regex_file=None: .*for rule 5",
        ),
        ("substring_line_modifier", {"banlist": ""}, r"substring_line_modifier\.banlist=''"),
    ],
)
def test_what_is_mistyped_is_refused_in_one_line(name, settings, message):
    with pytest.raises(UserError, match=message) as error:
        build_step(name, settings)
    assert "\n" not in str(error.value)
