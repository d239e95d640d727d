"""Ranks of the right items, exact to the last tie."""
