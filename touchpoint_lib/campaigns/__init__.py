"""Campaign evaluation: the effect, its interval, for whom, and the money."""
