"""Customer lifetime models on compressed rows."""
