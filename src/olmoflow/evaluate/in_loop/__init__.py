"""Evaluation while training goes on, within a share of its time."""
