"""Ways of skipping work: what a model need not read, and who decides."""
