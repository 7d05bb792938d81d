"""Reactivation timing: whom to contact, on which day, and whom to leave alone."""
