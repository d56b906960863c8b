"""Answers brought into one spelling, so that most equal answers are equal strings.

The spelling of mathematics follows Hendrycks et al. 2021 (`math_equivalence.py` of MATH) and
Lewkowycz et al. 2022 (Minerva, appendix D.1); that of short texts follows SQuAD (Rajpurkar et al.
2016). Both are lossy on purpose: units, words and signs that cannot change the value go.
"""

from __future__ import annotations

import re
import string
from fractions import Fraction
from unicodedata import normalize

LONGEST_EXACT = 400
"""Characters up to which a number is read exactly."""

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SPACING = re.compile(r"\\(?:[ ,;:!]|quad\b|qquad\b)|~")
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}"
)
_FRAC_BARE = re.compile(r"\\frac\s*(\d|[a-zA-Z](?![a-zA-Z]))\s*(\d|[a-zA-Z](?![a-zA-Z]))")
_FRAC_HALF = re.compile(r"\\frac\s*(\d)\s*\{([^{}]*)\}|\\frac\s*\{([^{}]*)\}\s*(\d)")
_SQRT_BARE = re.compile(r"\\sqrt\s*(\w)")
_RATIONAL = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?|\d+/\d*[1-9]\d*)", re.A)
_MIXED = re.compile(r"([+-]?)(\d*)\\frac\{(\d+)\}\{(\d*[1-9]\d*)\}", re.A)
_REPEATING = re.compile(r"([+-]?)(\d*)\.(\d*)\\overline\{(\d+)\}", re.A)
_PLAIN_FRACTION = re.compile(r"^(-?(?:\d+\s+)?)(\d+)/(\d+)$")
_LEADING = re.compile(r"^[\s.]+(?!\d)|^\s+")
_THOUSANDS = re.compile(r"(?<=\d)(?:,\\!|,|\{,\}|\\,|\\!)(?=\d{3}(?!\d))")
_UNITS = [
    *("degrees?", "dollars?", "cents?", "euros?", "pounds?", "percent", "units?", "points?"),
    *("inch(?:es)?", "feet", "foot", "ft", "yards?", "miles?", "mph", "cm", "mm", "km", "kg"),
    *("kilometers?", "centimeters?", "millimeters?", "meters?", "metres?", "grams?", "kilograms?"),
    *("liters?", "litres?", "gallons?", "ounces?", "seconds?", "minutes?", "hours?", "days?"),
    *("weeks?", "months?", "years?", "people", "students?", "apples?", "books?", "ways?"),
    *("square", "cubic", "sq"),
]
_POWER = r"(?:\s*\^\s*\{?[23]\}?)?"
# Spaces can be matched in one way only: in several, a text of units would take forever.
_UNIT = re.compile(
    rf"(?<=[\d}}\)])(?:\s*(?:{'|'.join(_UNITS)})\b\.?{_POWER}(?:\s*per\s+\w+)?)+\s*$", re.I
)
_REMOVED = (
    "\\left", "\\right", "\\bigl", "\\bigr", "\\big", "\\Big", "\\displaystyle", "\\limits",
    "^\\circ", "^{\\circ}", "°", "\\degree", "\\$", "$", "\\%", "%", "\\!",
)  # fmt: skip
_RENAMED = (
    ("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("\\cfrac", "\\frac"), ("\\dbinom", "\\binom"),
    ("\\geq", "\\ge"), ("\\leq", "\\le"), ("\\neq", "\\ne"), ("\\lbrace", "\\{"),
    ("\\rbrace", "\\}"), ("\\cdot", "*"), ("\\times", "*"), ("\\varnothing", "\\emptyset"),
)  # fmt: skip
_SIGNS = str.maketrans({
    "−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "π": "\\pi ", "∞": "\\infty ", "√": "\\sqrt ",
    "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ", "∪": "\\cup ", "∅": "\\emptyset ",
})  # fmt: skip
_FRACTION_SIGN = re.compile("[¼½¾⅐-⅞]")
_SUPERSCRIPT = re.compile("[⁻⁰¹²³⁴-⁹]+")
_ROOT_SIGN = re.compile(r"√\s*(?:\(([^()]*)\)|(\d+|\w))")


def latex(answer: str) -> str:
    r"""Unicode's signs in LaTeX: ``\frac{1}{2}`` for ``½``, ``\sqrt{12}`` for ``√12`` …"""
    answer = _FRACTION_SIGN.sub(
        lambda sign: "\\frac{{{}}}{{{}}}".format(*normalize("NFKC", sign[0]).split("⁄")), answer
    )
    answer = _SUPERSCRIPT.sub(lambda power: f"^{{{normalize('NFKC', power[0])}}}", answer)
    answer = _ROOT_SIGN.sub(lambda root: f"\\sqrt{{{root[1] or root[2]}}}", answer)
    return answer.translate(_SIGNS)


def math(answer: str) -> str:
    """One spelling of a mathematical answer; equal results mean equal answers."""
    answer = latex(_without_stops(answer))
    for old, new in _RENAMED:
        answer = answer.replace(old, new)
    if not any(bracket in answer for bracket in ("(", "[", "\\{")):  # there commas separate
        answer = _THOUSANDS.sub("", answer)
    answer = _TEXT.sub(r" \1 ", _SPACING.sub(" ", answer))
    for sign in _REMOVED:
        answer = answer.replace(sign, "")
    answer = _UNIT.sub("", _value_side(answer).strip())
    answer = _fractions(_without_stops(answer.replace("{ ", "{"))).replace(" ", "")
    return answer.lower() if answer.isalpha() else answer


def number(answer: str) -> Fraction | None:
    r"""The rational number that the text spells; None otherwise.

    As digits, decimal, fraction, mixed number (``2\frac{1}{2}``), or decimal that repeats
    (``0.1\overline{6}``).
    """
    answer = _THOUSANDS.sub("", answer.strip().replace("$", "").rstrip("."))
    if len(answer) > LONGEST_EXACT:
        return None
    if _RATIONAL.fullmatch(answer):
        return Fraction(answer)
    if mixed := _MIXED.fullmatch(answer):
        sign, whole, above, below = mixed.groups()
        part = Fraction(int(above), int(below))
        return None if whole and part >= 1 else _signed(sign, int(whole or 0) + part)
    if repeating := _REPEATING.fullmatch(answer):
        sign, whole, once, period = repeating.groups()
        scale: int = 10 ** len(once)
        part = Fraction(int(once + period) - int(once or 0), scale * int("9" * len(period)))
        return _signed(sign, int(whole or 0) + part)
    return None


def _signed(sign: str, value: Fraction) -> Fraction:
    return -value if sign == "-" else value


def squad(answer: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    answer = answer.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", answer).split())


def _without_stops(answer: str) -> str:
    """Without spaces and full stops around it; the point of ``.5`` stays."""
    return _LEADING.sub("", answer.rstrip(". \t\r\n"))


def _value_side(answer: str) -> str:
    """``5`` of ``x = 5``: what a short name on the left is said to equal."""
    left, equals, right = answer.partition("=")
    named = re.fullmatch(r"\s*\\?[a-zA-Z](?:_\w|\([a-z]\))?\s*", left)
    return right if equals and named and right.strip() and "=" not in right else answer


def _fractions(answer: str) -> str:
    r"""``\frac12`` and ``1/2`` as ``\frac{1}{2}``; ``\sqrt3`` as ``\sqrt{3}``."""
    answer = _FRAC_BARE.sub(r"\\frac{\1}{\2}", answer)
    answer = _FRAC_HALF.sub(
        lambda m: f"\\frac{{{m[1] or m[3]}}}{{{m[2] if m[1] else m[4]}}}", answer
    )
    answer = _SQRT_BARE.sub(r"\\sqrt{\1}", answer)
    return _PLAIN_FRACTION.sub(r"\1\\frac{\2}{\3}", answer.strip())
