"""The purchase log: checked, counted and turned into one row a customer."""
