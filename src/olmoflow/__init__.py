"""OlmoFlow: the whole Olmo 3 model flow as one experiment platform."""

__version__ = "0.1.0"
