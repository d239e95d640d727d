"""The results of a search as text, JSON, an HTML page or a picture."""
