"""Sections of a model card: tables of scores, curves, figures of the paper and citations."""
