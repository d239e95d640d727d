"""Better neighbour lists from neighbour lists."""
