"""What a step computes besides forward and backward."""
