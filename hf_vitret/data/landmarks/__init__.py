"""Particular objects: SfM-120k, ROxford5k, RParis6k and the distractors."""
