"""Configuration and model. These files are copied into every checkpoint."""
