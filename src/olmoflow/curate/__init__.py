"""Documents to documents: sources, filters, splits."""
