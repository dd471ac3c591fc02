"""Scoring: folds feedback into fair rankings and publishes them."""
