"""Benchmarks: each script measures one bar as ratios within one interleaved run and exits 1 when it misses it."""
