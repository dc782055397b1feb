"""Hidden Markov model whose states each have their own Poisson regression of every unit on every unit's past."""
