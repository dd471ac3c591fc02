"""Ways in: streams and HTTP."""
