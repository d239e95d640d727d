"""Load the user's own images from folders, tables or the Hub."""
