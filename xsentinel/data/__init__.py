"""Coefficients and sample cubes; see samples.md for what they hold and their licence."""
