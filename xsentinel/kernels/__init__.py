"""Numbers in, numbers out: numpy and numba, no labels, no dask."""
