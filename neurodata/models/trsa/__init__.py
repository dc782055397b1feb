"""Representational similarity analysis: RDMs, their geometry and topology, and inference on them."""
