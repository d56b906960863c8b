"""What several commands take: checkpoints, tokenizers, mixtures and engines, found and opened."""
