"""Does a text follow instructions about its form?

- verifier            the share of a prompt's instructions that a text follows, strictly or loosely
- ifeval              the 25 instructions of IFEval
- ifbench             the 58 instructions of IFBench: `ifbench_words`, `ifbench_sentences`,
                      `ifbench_formats`
- language            sentences, words and syllables, without downloads
- preload             what workers are forked with
"""
