"""How facts travel: subjects, streams, provisioner, publisher and the one failure policy."""
