"""Data sets of particular landmarks: SfM-120k, ROxford5k, RParis6k and the million distractors."""
