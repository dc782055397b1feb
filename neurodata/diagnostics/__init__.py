"""How good a fit is: scores on held-out data. Works on arrays; models are never imported here."""
