"""The life of a case: pure values and functions."""
