"""Map operations, by the names and arguments that datamap-rs gives them."""
