"""What a search found, as text, JSON, a page or a picture."""
