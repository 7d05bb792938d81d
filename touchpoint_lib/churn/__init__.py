"""Churn from behaviour: indicators, leaks, influence, models, judged by two rates."""
