"""Dynamic functional connectome: affinities over time, motifs that come and go, communities within them."""
