"""Published figures to test against, each with its source."""
