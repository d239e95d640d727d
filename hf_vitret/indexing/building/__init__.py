"""An index from vectors: which kind, how it is filled, how it is kept."""
