"""Parts of the composition root: each composes one thing that intake does beside taking ratings."""
