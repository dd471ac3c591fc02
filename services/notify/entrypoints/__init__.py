"""Where messages and requests come in."""
