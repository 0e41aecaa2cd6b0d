"""What the look-alike runs on the node: programs of the standard library alone, each in one file."""
