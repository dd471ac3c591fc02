"""How services talk: subjects, streams, connections, publishing, reading, failure policy, dead letters."""
