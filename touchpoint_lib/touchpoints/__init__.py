"""Touchpoints: which contact at which stage earns its keep, and where nobody can know."""
