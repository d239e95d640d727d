"""What a batch is: which images, how they are read and changed."""
