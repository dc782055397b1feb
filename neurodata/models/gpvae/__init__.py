"""Multi-modal Gaussian-process VAE."""
