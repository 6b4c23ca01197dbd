"""Speed beside the best peer and the machine's limit, and accuracy on real data; each figure from a command."""
