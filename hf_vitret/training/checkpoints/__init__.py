"""Checkpoints: what is in them, how a run goes on from one, how they reach the Hub."""
