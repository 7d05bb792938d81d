"""Figures: each has a twin that returns its data."""
