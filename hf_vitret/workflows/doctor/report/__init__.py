"""The findings as text, JSON and one HTML page."""
