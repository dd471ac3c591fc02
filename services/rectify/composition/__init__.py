"""Parts of the composition root that are large enough to stand alone."""
