"""Ways to skip work: fewer pairs, fewer steps, fewer tokens, fewer parameters for each token."""
