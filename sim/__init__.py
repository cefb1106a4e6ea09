"""Numbers in, numbers out: the iteration-level batching simulator. Knows nothing of specs."""
