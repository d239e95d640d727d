"""Pickles, archives and images from outside, read safely."""
