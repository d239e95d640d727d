"""What the benchmarks share: where figures are written, how memory is measured, and how programs take turns."""
