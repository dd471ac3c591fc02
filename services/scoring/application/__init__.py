"""Scoring's use cases: fold ratings, publish lists, answer queries, recompute."""
