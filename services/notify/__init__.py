"""Notify: turns bad reviews and score changes into alerts and delivers them."""
