"""The engine: a pipeline's steps over the shards of a corpus.

- registry      the names of steps and the classes behind them
- plan          steps that were checked, grouped into passes
- shards        the Parquet files between two passes
- account       what a step counted: documents, bytes, words, reasons, samples
- map_pass      one unit of work through consecutive map operations
- decisions     what a stage decided, applied to the shards
- workers       units of work handed to Daft, here or on a Ray cluster
- work_folder   what is finished, so that a rerun resumes there
- engine        the passes in their order
- output        the corpus written, and the data of its report
"""
