"""``olmoflow synthesize``.

- command    preference pairs, and which of the two is made
- recipes    the pipelines of pairs
- rewritten  documents written anew
- speakers   who answers
- special_tokens    whose text no answer may hold
- outcome    reports
"""
