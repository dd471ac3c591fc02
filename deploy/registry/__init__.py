"""Generators of the committed registries of divisions and units."""
