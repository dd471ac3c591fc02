"""Rectify: every bad review becomes a case, every case has an answer, every deadline is kept or seen."""
