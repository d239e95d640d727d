"""Write a report as text, as JSON and as an HTML page."""
