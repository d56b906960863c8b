"""Map operations, by the names and arguments that datamap-rs gives them.

- operation      what a map operation is
- registry       all of them by name: their arguments, and how one is built from settings
- length         filters by length; words counted
- symbols        filters by symbols, bullets, ellipses, letters, stop words
- repetition     Gopher's limits; pieces of tokens in a row
- urls           lists of banned domains, hosts, URLs and words
- patterns       regular expressions
- fields         numbers, strings and scores in a document's fields
- identity       ids, hashes, a random part
- lines          lines dropped, substrings taken out, newlines bounded
- intervals      byte ranges cut out
- classifiers    fastText models: language, quality, topic
- madlad         MADLAD-400's rules on sentences
- annotate       tokens counted, compressibility
- token_ids      texts as token ids
- columns        what operations read from documents, and how they put it back
- arguments      arguments that cannot be, refused
"""
