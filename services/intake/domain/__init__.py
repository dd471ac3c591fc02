"""The pure core of intake: frozen values and functions, no I/O."""
