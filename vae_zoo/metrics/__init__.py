"""What a trained model is worth: likelihood, latent space, sample quality."""
