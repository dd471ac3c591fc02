"""The pure core of notify: frozen values and functions, no I/O."""
