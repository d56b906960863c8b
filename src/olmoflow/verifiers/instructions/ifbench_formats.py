"""IFBench's instructions about form, and those of one prompt only.

IFBench: Pyatkin et al. 2025, arXiv 2507.02833. See `ifbench` for the rest.
"""

from __future__ import annotations

import csv
import io
import re
import string
from collections.abc import Callable
from itertools import pairwise

from olmoflow.verifiers.instructions import language as lang

_CAPITALS = (
    "Reykjavik Helsinki Oslo Tallinn Stockholm Riga Moscow Copenhagen Vilnius Minsk Dublin "
    "Berlin Amsterdam Warsaw London Brussels Prague Luxembourg Paris Vienna Bratislava "
    "Budapest Vaduz Chisinau Bern Ljubljana Zagreb"
)
CAPITALS = _CAPITALS.split()
DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
CLOSING = {")": "(", "]": "[", "}": "{"}
_OPTION = re.compile(r"[A-Ea-e][.|)]\s*\w+")


def punctuation(text: str) -> bool:
    """Every mark of ``.,!?;:`` and an interrobang beside them."""
    if not any(interrobang in text for interrobang in ("!?", "?!", "‽")):
        return False
    rest = text.replace("?!", "", 1) if "?!" in text else text.replace("!?", "", 1)
    return set(".,!?;:") <= set(rest)


def parentheses(text: str) -> bool:
    """Brackets five deep that close."""
    open_: list[str] = []
    deepest = 0
    for letter in text:
        if letter in "([{":
            open_.append(letter)
            deepest = max(deepest, len(open_))
        elif letter in CLOSING:
            if not open_ or open_.pop() != CLOSING[letter]:
                open_, deepest = [], 0
            elif deepest >= 5:
                return True
    return False


def quotes(text: str) -> bool:
    """Quotation marks three deep, double and single in turn."""
    open_: list[str] = []
    deepest = 0
    for letter in text:
        if open_ and letter == open_[-1]:
            open_.pop()
            if deepest - len(open_) >= 3:
                return True
        elif letter in "\"'":
            open_.append(letter)
            deepest = max(deepest, len(open_))
    return False


def options(text: str, options: str) -> bool:
    """One of the options and nothing else; lettered ones to the character."""
    separator = "/" if "/" in options else "or" if "or" in options else ","
    choices = [option.strip() for option in options.split(separator)]
    if re.match(r"\W*[aA]\W*[bB]\W*[cC]\W*", options):
        return text in choices
    return lang.trimmed(text).lower() in [lang.trimmed(choice).lower() for choice in choices]


def newline(text: str) -> bool:
    """One word on each line."""
    text = lang.bare(text).strip()
    return len([line for line in text.split("\n") if line]) == len(text.split())


def line_indent(text: str) -> bool:
    """Each line is indented more than the one before."""
    lines = [line for line in text.split("\n") if line.strip()]
    indents = [len(line) - len(line.lstrip(" ")) for line in lines]
    return all(a < b for a, b in pairwise(indents))


def quote_unquote(text: str) -> bool:
    """No quotation follows another, and none ends the text."""
    text = text.replace("“", '"').replace("”", '"').replace("'\"'", "")
    text = "".join(text.split())
    ending = text.strip(string.digits + string.punctuation.replace('"', ""))
    return '""' not in text and bool(ending) and not ending.endswith('"')


def list_(text: str, sep: str) -> bool:
    """The marker of items at least twice."""
    return text.count(sep) >= 2


def thesis(text: str) -> bool:
    """Something in HTML's italics, followed by something."""
    # The first ``<i>``, or where there is none the first ``<em>``; so for their ends.
    start = text.find("<i>") if "<i>" in text else text.find("<em>")
    if start < 0:
        return False
    text = text[start:]
    end = text.find("</i>") if "</i>" in text else text.find("</em>")
    return end >= 0 and bool(text[3:end].strip()) and bool(text[end + 4 :].strip())


def sub_bullets(text: str) -> bool:
    """A ``-`` after each ``*``."""
    return all("-" in bullet for bullet in text.split("*")[1:])


def no_bullets_bullets(text: str) -> bool:
    """Two sentences or more, then two bullet points or more, and nothing else."""
    sentences = bullets = 0
    open_ = True  # closed by a bullet point, or a line without a sentence
    for line in text.split("\n"):
        if line.strip().startswith("*"):
            if sentences < 2:
                return False
            open_ = False
            bullets += 1
        elif open_:
            found = len(lang.sentences(line.strip()))
            open_ = found > 0
            sentences += found
        else:
            return False
    return bullets >= 2


def title_case(text: str) -> bool:
    """No word in small letters, nor with only its first letter small."""
    return not any(
        token[0].islower() and (token[1:].isupper() or token[1:].islower())
        for token in lang.tokens(text)
    )


def output_template(text: str) -> bool:
    """Three headings."""
    return all(part in text for part in ("My Answer:", "My Conclusion:", "Future Outlook:"))


def no_whitespace(text: str) -> bool:
    """No space of any kind."""
    return not any(map(str.isspace, text))


def multiples(text: str) -> bool:
    """The multiples of 7 from 10 to 50, and no other number."""
    return re.findall(r"\d+", text) == [str(number) for number in range(14, 51, 7)]


def mcq_count_length(text: str) -> bool:
    """Four questions with five options each, each longer than the one before."""
    if not text.startswith("Question"):
        return False
    parts = re.split(r"\n*(?:Question \d+[\.|\):;]?\s*)", text)
    questions = [part.strip() for part in parts if part.strip()]
    lengths = []
    for question in questions:
        lines = [line.strip() for line in question.split("\n")]
        marked = [bool(_OPTION.match(line)) for line in lines]
        if sum(marked) != 5:
            return False
        lengths.append(len(" ".join(lines[: marked.index(True)]).strip()))
    return len(questions) == 4 and all(a < b for a, b in pairwise(lengths))


def reverse_newline(text: str) -> bool:
    """At least 52 lines from Zimbabwe on, in reverse alphabetical order."""
    lines = [line for line in map(lang.trimmed, text.split("\n")) if line]
    start = next((i for i, line in enumerate(lines) if "Zimbabwe" in line), None)
    if start is None:
        return False
    countries = [lang.plain(line) for line in lines[start:]]
    return len(countries) >= 52 and countries == sorted(countries, reverse=True)


def word_reverse(text: str) -> bool:
    """Read word by word from its end, it speaks of the bald eagle."""
    reverse = " ".join(lang.bare(text.lower()).split()[::-1])
    return "bald eagle" in reverse and reverse in lang.sentences(reverse)


def character_reverse(text: str) -> bool:
    """The bald eagle, letter by letter from its end."""
    return "elgae dlab" in text.lower()


def european_capitals_sort(text: str) -> bool:
    """The capitals north of 45 degrees, from the north, with commas between them."""
    return [part.strip() for part in lang.plain(text).split(",") if part.strip()] == CAPITALS


def csv_city(text: str) -> bool:
    """A header and seven rows of five fields."""
    rows = list(csv.reader(io.StringIO(text)))
    header = ["ID", "Country", "City", "Year", "Count"]
    return len(rows) == 8 and rows[0] == header and all(len(row) == 5 for row in rows)


def csv_special_character(text: str) -> bool:
    """A header and fourteen rows; a special character in a quoted field."""
    names = ("ProductID", "Category", "Brand", "Price", "Stock")
    rows = _quoted_rows(text, names, r",[ \t]*", ",")
    if rows is None or len(rows) != 15:
        return False
    for row in rows[1:]:
        if len(row) != 5:
            return False
        if any(re.match(r'".*[^\d\w\s].*"', field) for field in row):
            return True
    return False


def csv_quotes(text: str) -> bool:
    """A header and three rows between tabs, every field in quotation marks."""
    names = ("StudentID", "Subject", "Grade", "Semester", "Score")
    rows = _quoted_rows(text, names, r"\t *", "\t")
    return (
        rows is not None
        and len(rows) == 4
        and all(len(row) == 5 for row in rows)
        and all(re.fullmatch(r'".*"|"', field.strip(), re.S) for row in rows for field in row)
    )


def _quoted_rows(
    text: str, names: tuple[str, ...], between: str, delimiter: str
) -> list[list[str]] | None:
    """Rows whose fields keep their quotation marks; None if the header is another."""
    header = between.join(f'({name}|"{name}")' for name in names)
    if not re.fullmatch(header, text.split("\n")[0].strip()):
        return None
    return list(csv.reader(io.StringIO(text.replace('"', '"""')), delimiter=delimiter))


def date_format_list(text: str) -> bool:
    """Dates of Napoleon's life as YYYY-MM-DD with commas between them."""
    return all(_is_date(date.strip()) for date in text.strip().split(","))


def _is_date(date: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        return False
    year, month, day = map(int, date.split("-"))
    return 1769 <= year <= 1821 and month <= 12 and (month == 0 or day <= DAYS[month - 1])


INSTRUCTIONS: dict[str, Callable[..., bool]] = {
    "count:punctuation": punctuation,
    "format:parentheses": parentheses,
    "format:quotes": quotes,
    "format:options": options,
    "format:newline": newline,
    "format:line_indent": line_indent,
    "format:quote_unquote": quote_unquote,
    "format:list": list_,
    "format:thesis": thesis,
    "format:sub-bullets": sub_bullets,
    "format:no_bullets_bullets": no_bullets_bullets,
    "format:title_case": title_case,
    "format:output_template": output_template,
    "format:no_whitespace": no_whitespace,
    "custom:multiples": multiples,
    "custom:mcq_count_length": mcq_count_length,
    "custom:reverse_newline": reverse_newline,
    "custom:word_reverse": word_reverse,
    "custom:character_reverse": character_reverse,
    "custom:european_capitals_sort": european_capitals_sort,
    "custom:csv_city": csv_city,
    "custom:csv_special_character": csv_special_character,
    "custom:csv_quotes": csv_quotes,
    "custom:date_format_list": date_format_list,
}
