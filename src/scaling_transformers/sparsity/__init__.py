"""Ways of skipping work: patterns of attention, adaptive depth, hierarchies of tokens, experts."""
