"""The pure core of archive: frozen values and functions, no I/O."""
