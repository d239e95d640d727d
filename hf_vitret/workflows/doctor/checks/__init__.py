"""The checks of the doctor: image files, classes, duplicates and labels."""
