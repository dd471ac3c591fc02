"""How the world reaches scoring: the feedback stream and HTTP."""
