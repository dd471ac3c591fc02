"""The demonstration: one simulated, seeded day of the province, or real ratings, through the real API."""
