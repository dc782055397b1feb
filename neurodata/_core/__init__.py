"""What every layer may use: random numbers, optional imports, progress, parallel runs, provenance."""
