"""Documents to documents.

- documents         a corpus written
- installed_text    the text of the Python environment, which every machine has
- split             a user's own documents, checked and split
"""
