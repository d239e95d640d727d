"""Results with their protocol and confidence, as text, JSON and a picture."""
