"""Scoring's adapters: the NATS key-value bucket, the event stream, the dead letters."""
