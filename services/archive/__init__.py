"""Archive: keeps every event of every archived stream as a hash-chained audit log."""
