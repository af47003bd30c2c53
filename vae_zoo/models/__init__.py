"""Models that are more than arguments of VAE: each file states one difference from it."""
