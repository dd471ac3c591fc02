"""The pure core of scoring: frozen values and functions, no I/O."""
