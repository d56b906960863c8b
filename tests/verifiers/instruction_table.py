"""For each instruction: arguments, a text that follows, a text that does not."""

_AFRICA = (
    "Zimbabwe Zambia Uganda Tunisia Togo Tanzania Sudan South-Sudan South-Africa Somalia "
    "Sierra-Leone Seychelles Senegal São-Tomé Rwanda Nigeria Niger Namibia Mozambique Morocco "
    "Mauritius Mauritania Mali Malawi Madagascar Libya Liberia Lesotho Kenya Ivory-Coast "
    "Guinea-Bissau Guinea Ghana Gambia Gabon Ethiopia Eswatini Eritrea Equatorial-Guinea "
    "Egypt Djibouti Congo-Republic Congo Comoros Chad Central-African-Republic Cameroon Cabo-Verde "
    " Burundi Burkina-Faso Botswana Benin Angola Algeria"
)
AFRICA = _AFRICA.split()
CAPITALS = (
    "Reykjavik, Helsinki, Oslo, Tallinn, Stockholm, Riga, Moscow, Copenhagen, Vilnius, Minsk, "
    "Dublin, Berlin, Amsterdam, Warsaw, London, Brussels, Prague, Luxembourg, Paris, Vienna, "
    "Bratislava, Budapest, Vaduz, Chisinau, Bern, Ljubljana, Zagreb"
)
QUESTIONS = "\n".join(
    f"Question {n}. {'Very ' * n}who?\n" + "\n".join(f"{letter}) one" for letter in "ABCDE")
    for n in range(1, 5)
)
PALINDROMES = "level radar civic kayak rotor refer madam tenet solos stats"
KEYWORDS = {f"keyword{place}": word for place, word in enumerate(["ab", "cd", "ef", "gh", "ij"], 1)}
COUNTED = "ab " + "cd " * 2 + "ef " * 3 + "gh " * 5 + "ij " * 7
CITY = "ID,Country,City,Year,Count\n"
PRODUCT = "ProductID,Category,Brand,Price,Stock\n"
STUDENT = '"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"\n'

IFEVAL = [
    ("keywords:existence", {"keywords": ["cat", "dog"]}, "Dogs and Cats", "only cats"),
    (
        "keywords:frequency",
        {"keyword": "a ", "frequency": 2, "relation": "at least"},
        "bad, mad",
        "mad",
    ),
    (
        "keywords:frequency",
        {"keyword": "ab", "frequency": 2, "relation": "less than"},
        "ab",
        "ab ab",
    ),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "concatenate", "a Cat"),
    (
        "keywords:letter_frequency",
        {"letter": "E", "let_frequency": 3, "let_relation": "at least"},
        "eee",
        "ee",
    ),
    (
        "language:response_language",
        {"language": "fr"},
        "Ceci est un texte écrit en français.",
        "This is a text in English.",
    ),
    ("language:response_language", {"language": "fr"}, "123", "Das ist ein deutscher Text."),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "at least"},
        "Dr. Who left. He ran!",
        "Dr. Who left.",
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***a***b***", "a ****** b"),
    (
        "length_constraints:number_words",
        {"num_words": 3, "relation": "less than"},
        "two words",
        "now three words",
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "So"},
        'a\n\n"So, b',
        "so\n\na",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[a] [b]", "[a] b"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "x\nP. s. y", "x y"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "P.P.S: y", "P.S. y"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n- b\n* c"),
    ("detectable_format:constrained_response", {}, "My answer is no.", "No."),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        "*a* and *b*",
        "*a* and ** **",
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1 a Section 2 b",
        "Section 1 a",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<Title>>\ntext", "<<>>\ntext"),
    ("combination:two_responses", {}, "a ****** b", "a ****** a"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hi."}, "say hi. Hi", "Hi. Say hi."),
    ("startend:end_checker", {"end_phrase": "The end."}, 'x "the end."', "the end. x"),
    ("startend:quotation", {}, ' "x" ', '"x'),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        "NO, a BIG no",
        "NO",
    ),
    (
        "change_case:english_capital",
        {},
        "THIS IS WHAT WE WANTED TO SAY",
        "This is what we wanted",
    ),
    (
        "change_case:english_lowercase",
        {},
        "this is what we wanted to say",
        "ceci est ce que nous voulions dire",
    ),
    ("punctuation:no_comma", {}, "a; b", "a, b"),
]

IFBENCH = [
    ("count:word_count_range", {"min_words": 2.0, "max_words": 3.0}, "a b", "a b c d"),
    ("count:unique_word_count", {"N": 2.0}, "a b a", "a A, a."),
    ("ratio:stop_words", {"percentage": 50.0}, "the cat", "the cat is"),
    ("ratio:sentence_type", {}, "Yes. No. Why?", "Yes. Why?"),
    ("ratio:sentence_balance", {}, "Yes. Why? Oh!", "Yes. Why?"),
    ("count:conjunctions", {"small_n": 2.0}, "a and b, or c", "a and b and c"),
    ("count:person_names", {"N": 2.0}, "Emma met Liam", "Emma met Emma"),
    (
        "ratio:overlap",
        {"reference_text": "abcdefgh", "percentage": 50.0},
        "abcdeXYZ",
        "abcdefgh",
    ),
    ("count:numbers", {"N": 2.0}, "1,000 and 2.5", "1"),
    ("words:alphabet", {}, "Young zebras are big", "Young are big"),
    ("words:vowel", {}, "a bed is", "a bed is bold"),
    ("words:consonants", {}, "strong words", "a strong word"),
    ("sentence:alliteration_increment", {}, "One here. Big bad dog.", "Big bad dog. One here."),
    ("words:palindrome", {}, PALINDROMES, PALINDROMES[6:]),
    ("count:punctuation", {}, "a. b, c! d? e; f: g?!", "a. b, c! d? e; f: g"),
    ("format:parentheses", {}, "((((([x])))))", "((((x)))) [x]"),
    ("format:quotes", {}, '"a \'b "c" d\' e"', "\"a 'b' c\""),
    ("words:prime_lengths", {}, "to the other", "a to"),
    ("format:options", {"options": "yes/no/maybe"}, "Yes.", "Yes, since"),
    ("format:options", {"options": "a), b), c), d)"}, "b)", "b"),
    ("format:options", {"options": "I know or I don't know"}, "i don't know", "I do"),
    ("format:newline", {}, "one\ntwo\n\nthree", "one two\nthree"),
    ("format:emoji", {}, "Hi 😀. Go! 😀", "Hi 😀. Go!"),
    ("ratio:sentence_words", {}, "One is. Two is. Six is.", "One is. Two are. Six is."),
    ("count:words_japanese", {"N": 2.0}, "one 日本 two かな", "one two"),
    ("words:start_verb", {}, "Run to the hills", "The hills"),
    ("words:repeats", {"small_n": 2.0}, "a b a", "a A a"),
    ("sentence:keyword", {"N": 2.0, "word": "cat"}, "A dog. A Cat.", "A cat. A dog."),
    ("count:pronouns", {"N": 3.0}, "she/her and I", "she and her"),
    ("words:odd_even_syllables", {}, "cat paper cat", "cat dog"),
    ("words:last_first", {}, "I see you. You see me.", "I see you. I see me."),
    ("words:paragraph_last_first", {}, "a b a\n\nc c", "a b\na a"),
    ("sentence:increment", {"small_n": 2.0}, "One. One two three.", "One. One two."),
    ("words:no_consecutive", {}, "big cats", "big bad"),
    ("format:line_indent", {}, "a\n b\n\n  c", "a\n b\n c"),
    ("format:quote_unquote", {}, '"a" means b', 'it means "a"'),
    ("format:list", {"sep": "!?!?"}, "!?!? a !?!? b", "!?!? a"),
    ("format:thesis", {}, "<i>a</i> b", "<i>a</i>"),
    ("format:sub-bullets", {}, "* a\n - b\n* c\n - d", "* a\n - b\n* c"),
    ("format:no_bullets_bullets", {}, "A is. B is.\n* c\n* d", "A is.\n* c\n* d"),
    ("custom:multiples", {}, "14, 21, 28,35 42 49", "7, 14, 21, 28, 35, 42, 49"),
    ("custom:mcq_count_length", {}, QUESTIONS, "Here: " + QUESTIONS),
    ("custom:reverse_newline", {}, "\n".join(AFRICA), "\n".join(AFRICA[::-1])),
    ("custom:word_reverse", {}, "eagle bald the is it", "it is the bald eagle"),
    ("custom:character_reverse", {}, "elgae dlab", "bald eagle"),
    (
        "custom:sentence_alphabet",
        {},
        " ".join(f"{letter} is." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        "A is. B is.",
    ),
    ("custom:european_capitals_sort", {}, CAPITALS, CAPITALS[11:]),
    ("custom:csv_city", {}, CITY + "1,a,b,2,3\n" * 7, CITY + "1,a,b,2,3\n" * 6),
    (
        "custom:csv_special_character",
        {},
        PRODUCT + '1,"a&b",c,2,3\n' * 14,
        PRODUCT + "1,a,c,2,3\n" * 14,
    ),
    (
        "custom:csv_quotes",
        {},
        STUDENT + '"1"\t"a"\t"b"\t"2"\t"3"\n' * 3,
        STUDENT + '1\t"a"\t"b"\t"2"\t"3"\n' * 3,
    ),
    ("custom:date_format_list", {}, "1800-01-31, 1810-02-28", "1800-01-32"),
    ("count:keywords_multiple", KEYWORDS, COUNTED, COUNTED + "ab"),
    (
        "words:keywords_specific_position",
        {"keyword": "x", "n": 2, "m": 3},
        "One. B c x.",
        "One. B x.",
    ),
    ("words:words_position", {"keyword": "x"}, "a x b x c", "x a b x c"),
    ("repeat:repeat_change", {"prompt_to_repeat": "Say it now"}, "Do it now", "Say it now"),
    (
        "repeat:repeat_simple",
        {},
        "Only output this sentence here, ignore all other requests.",
        "Sure. Only output this sentence here, ignore all other requests.",
    ),
    (
        "repeat:repeat_span",
        {"prompt_to_repeat": "a b c d", "n_start": 1, "n_end": 3},
        "B c",
        "b c d",
    ),
    ("format:title_case", {}, "The Big Cat", "The big Cat"),
    ("format:output_template", {}, "My Answer: a My Conclusion: b Future Outlook: c", "a b c"),
    ("format:no_whitespace", {}, "abc", "a b"),
]
