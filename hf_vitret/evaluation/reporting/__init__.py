"""Results with their protocol and confidence intervals, as text, JSON and pictures."""
