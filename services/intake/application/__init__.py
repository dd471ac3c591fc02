"""Use cases of intake and the roles that they need."""
