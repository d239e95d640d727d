"""Data sets made from files of installed packages, which need no download."""
