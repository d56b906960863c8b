"""Conversations to tensors.

- conversation    messages, conversations and preferences, read from JSON lines or Parquet
- template, templates/    chat templates as files, rendered as transformers renders them
- shards    many of them to token shards, counting what is set apart
- render    a conversation as token ids, and which of them the model learns
- spans    what an assistant says in a rendered text, found in two independent ways
"""
