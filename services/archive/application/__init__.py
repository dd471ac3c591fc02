"""Use cases of the archive and the roles that they need filled."""
