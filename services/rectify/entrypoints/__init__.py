"""What comes in: the streams and HTTP."""
