"""Answers over HTTP: a page and an API that find the images of an index by an image that is uploaded."""
