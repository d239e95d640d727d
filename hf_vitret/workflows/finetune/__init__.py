"""What the recipes share: arguments, the run itself, and what it reports."""
