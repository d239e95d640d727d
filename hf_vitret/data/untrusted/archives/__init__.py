"""Archives of outside origin, extracted safely."""
