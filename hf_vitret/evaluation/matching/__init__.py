"""Score thresholds for a match of two images, and their true-match and false-match rates."""
