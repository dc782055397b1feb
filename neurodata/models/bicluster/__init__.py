"""Bayesian bi-clustering of counts: units into clusters, time into states."""
