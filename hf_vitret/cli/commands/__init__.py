"""The commands of `hf-vitret`, one a file."""
