"""The 25 instructions of IFEval (Zhou et al. 2023, arXiv 2311.07911).

Each is a function of the text and of the instruction's arguments, named as in the data. What they
accept is what the published checkers accept (google-research `instruction_following_eval`), their
peculiarities too, since scores are compared with published ones. Keywords are regular expressions
there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from olmoflow.verifiers.instructions import language as lang

CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def compared(found: int, relation: str, wanted: int) -> bool:
    """``less than`` or ``at least``.

    Raises:
        ValueError: Another relation.
    """
    if relation == "less than":
        return found < wanted
    if relation == "at least":
        return found >= wanted
    raise ValueError(f"relation: found {relation!r}, expected 'less than' or 'at least'")


def existence(text: str, keywords: Sequence[str]) -> bool:
    """All keywords occur."""
    return all(re.search(keyword, text, re.IGNORECASE) for keyword in keywords)


def frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    """A keyword occurs so often."""
    return compared(len(re.findall(keyword.strip(), text, re.IGNORECASE)), relation, frequency)


def forbidden_words(text: str, forbidden_words: Sequence[str]) -> bool:
    """None of the words occurs."""
    return not any(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    """A letter occurs so often."""
    return compared(text.lower().count(letter.strip().lower()), let_relation, let_frequency)


def response_language(text: str, language: str) -> bool:
    """All of it is in this language; what has no language passes."""
    return lang.language(text) in (language, None)


def number_sentences(text: str, num_sentences: int, relation: str) -> bool:
    """So many sentences."""
    return compared(lang.count_sentences(text), relation, num_sentences)


def number_paragraphs(text: str, num_paragraphs: int) -> bool:
    """So many paragraphs, with ``***`` between them."""
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\s?\*\*\*\s?", text)]
    if not all(paragraphs[1:-1]):
        return False
    return sum(map(bool, paragraphs)) == num_paragraphs


def number_words(text: str, num_words: int, relation: str) -> bool:
    """So many words."""
    return compared(len(lang.words(text)), relation, num_words)


def nth_paragraph_first_word(
    text: str, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    """So many paragraphs, with an empty line between them, one of which begins with a word."""
    paragraphs = text.split("\n\n")
    count = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if not 1 <= nth_paragraph <= count:
        return False
    paragraph = paragraphs[nth_paragraph - 1].strip()
    if not paragraph:
        return False
    word = paragraph.split()[0].lstrip("'").lstrip('"')
    first = re.split(r"""[.,?!'"]""", word, maxsplit=1)[0].lower()
    return count == num_paragraphs and first == first_word.lower()


def number_placeholders(text: str, num_placeholders: int) -> bool:
    """At least so many placeholders such as ``[address]``."""
    return len(re.findall(r"\[.*?\]", text)) >= num_placeholders


def postscript(text: str, postscript_marker: str) -> bool:
    """A postscript with this marker."""
    marker = postscript_marker.strip()
    known = {"P.P.S": r"\s*p\.\s?p\.\s?s.*$", "P.S.": r"\s*p\.\s?s\..*$"}
    pattern = known.get(marker, rf"\s*{marker.lower()}.*$")
    return bool(re.search(pattern, text.lower(), re.MULTILINE))


def number_bullet_lists(text: str, num_bullets: int) -> bool:
    """Exactly so many bullet points, with ``*`` or ``-``."""
    stars = re.findall(r"^\s*\*[^\*].*$", text, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def constrained_response(text: str) -> bool:
    """One of three answers."""
    return any(choice in text for choice in CHOICES)


def number_highlighted_sections(text: str, num_highlights: int) -> bool:
    """At least so many sections between stars."""
    single = [found.strip("*") for found in re.findall(r"\*[^\n\*]*\*", text)]
    double = [found[2:-2] for found in re.findall(r"\*\*[^\n\*]*\*\*", text)]
    return sum(bool(found.strip()) for found in single + double) >= num_highlights


def multiple_sections(text: str, section_spliter: str, num_sections: int) -> bool:
    """At least so many sections, each with its number."""
    sections = re.split(rf"\s?{section_spliter.strip()}\s?\d+\s?", text)
    return len(sections) - 1 >= num_sections


def json_format(text: str) -> bool:
    """All of it is JSON, perhaps in a fenced block."""
    text = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except ValueError:
        return False
    return True


def title(text: str) -> bool:
    """A title in double angular brackets."""
    titles = re.findall(r"<<[^\n]+>>", text)
    return any(found.lstrip("<").rstrip(">").strip() for found in titles)


def two_responses(text: str) -> bool:
    """Two different answers with six stars between them."""
    responses = [response.strip() for response in text.split("******")]
    if not all(responses[1:-1]):
        return False
    given = [response for response in responses if response]
    return len(given) == 2 and given[0] != given[1]


def repeat_prompt(text: str, prompt_to_repeat: str) -> bool:
    """The request comes first."""
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_checker(text: str, end_phrase: str) -> bool:
    """A phrase comes last."""
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def capital_word_frequency(text: str, capital_frequency: int, capital_relation: str) -> bool:
    """So many words in capital letters."""
    found = sum(token.isupper() for token in lang.tokens(text))
    return compared(found, capital_relation, capital_frequency)


def english_capital(text: str) -> bool:
    """English in capital letters."""
    return text.isupper() and lang.language(text) in ("en", None)


def english_lowercase(text: str) -> bool:
    """English in small letters."""
    return text.islower() and lang.language(text) in ("en", None)


def no_comma(text: str) -> bool:
    """No comma."""
    return "," not in text


def quotation(text: str) -> bool:
    """All of it between double quotation marks."""
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


INSTRUCTIONS: dict[str, Callable[..., bool]] = {
    "keywords:existence": existence,
    "keywords:frequency": frequency,
    "keywords:forbidden_words": forbidden_words,
    "keywords:letter_frequency": letter_frequency,
    "language:response_language": response_language,
    "length_constraints:number_sentences": number_sentences,
    "length_constraints:number_paragraphs": number_paragraphs,
    "length_constraints:number_words": number_words,
    "length_constraints:nth_paragraph_first_word": nth_paragraph_first_word,
    "detectable_content:number_placeholders": number_placeholders,
    "detectable_content:postscript": postscript,
    "detectable_format:number_bullet_lists": number_bullet_lists,
    "detectable_format:constrained_response": constrained_response,
    "detectable_format:number_highlighted_sections": number_highlighted_sections,
    "detectable_format:multiple_sections": multiple_sections,
    "detectable_format:json_format": json_format,
    "detectable_format:title": title,
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeat_prompt,
    "startend:end_checker": end_checker,
    "startend:quotation": quotation,
    "change_case:capital_word_frequency": capital_word_frequency,
    "change_case:english_capital": english_capital,
    "change_case:english_lowercase": english_lowercase,
    "punctuation:no_comma": no_comma,
}
