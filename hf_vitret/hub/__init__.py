"""What a checkpoint shows of itself on the Hub."""
