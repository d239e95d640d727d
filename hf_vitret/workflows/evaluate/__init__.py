"""Models scored side by side on one data set."""
