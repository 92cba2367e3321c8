"""Ways to skip work: patterns of attention, adaptive depth, hierarchies of tokens, experts."""
