"""From which score on two images match."""
