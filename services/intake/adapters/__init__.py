"""Technology of intake: broker, vault, index file."""
