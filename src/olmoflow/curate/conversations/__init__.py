"""Conversations and preferences as documents, and filters of what their turns say.

- row           a row of turns as a document, and back
- turns         which turns a step looks at
- format        roles in order, no empty turn, thoughts that are closed
- phrases       claims of another's name, maker or date cutoff; identity.yaml has them
- repetition    sentences, paragraphs and phrases said over and over
- script        the share of characters of a script
- length        the number of turns
- on_turns      any operation on texts, on some of the turns
- outcome       what a filter leaves, each that goes for its own reason
"""
