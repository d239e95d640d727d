"""An HTTP server that searches an index for images similar to an uploaded one, with a web page and an API."""
