"""Conversations to tensors.

- conversation    messages, conversations and preferences, read from JSON lines or Parquet
- template, templates/    chat templates as files, rendered as transformers renders them
- rows    rows of any kind to token shards, counting what is set apart
- kind    what differs between kinds of rows
- fitting    rows that are longer than a sequence
- shards    rows that are conversations
- render    a conversation as token ids, and which of them the model learns
- forging    special tokens whose text in a message could forge a turn
- spans    what an assistant says in a rendered text, found in two independent ways
"""
