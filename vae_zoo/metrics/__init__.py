"""What is measured of a trained model: likelihood, latent space, disentanglement, samples."""
