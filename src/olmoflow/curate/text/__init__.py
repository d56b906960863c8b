"""Text read by compiled loops: what map operations count, cut and compare.

- characters    properties of characters in one table, UTF-8 decoded
- words         Unicode's word boundaries
- measures      counts of a text, made in one pass and shared by the operations of a batch
- lines         texts cut into lines, and joined from those that stay
- sentences     where sentences end
- repetition    repeated lines, paragraphs and n-grams
- intervals     byte ranges of a text: merged, moved to boundaries, cut out
- json_strings  texts escaped, as the written corpus has them
"""
