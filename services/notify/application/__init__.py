"""Use cases of notify and the roles that they need."""
