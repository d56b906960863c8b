"""Tasks through an engine: texts to token ids, answers to scores, scores to files."""
