"""Training and evaluation with several processes: collective operations, and evaluation by shares."""
