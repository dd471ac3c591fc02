"""``python -m services.rectify``: one process; of several replicas one does the background work."""

import sys

from shared.observability.starting import uncollected

with uncollected():
    from services.rectify.bootstrap import SERVICE, create_app
    from services.rectify.settings import Settings
    from shared.observability.environment import read_settings
    from shared.observability.server import run_service


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    settings = read_settings(Settings, SERVICE)
    app = create_app(settings)
    return run_service(
        app, service=SERVICE, host=settings.http_host, port=settings.http_port, log_level=settings.log_level
    )


if __name__ == "__main__":
    sys.exit(main())
