"""MongoDB and JetStream behind the roles of :mod:`services.archive.application.ports`."""
