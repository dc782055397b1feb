"""The numeric core: arrays in, arrays out. A suffix says what compiles a file: `_nb` Numba, `_jx` JAX, none NumPy."""
