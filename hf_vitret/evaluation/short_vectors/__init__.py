"""How much short vectors lose."""
