"""Use cases of rectify and the roles that they need."""
