"""Churn where it is declared: survival curves of contracts and what moves them."""
