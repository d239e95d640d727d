"""Read pickles, archives and images from untrusted sources without running code or filling the disk."""
