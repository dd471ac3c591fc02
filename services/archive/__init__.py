"""Archive: keeps every event of every archived stream as a tamper-evident audit log."""
