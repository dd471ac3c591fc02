"""``python -m services.intake``: serve until SIGTERM."""

import sys

from services.intake.bootstrap import NAME, create_app
from services.intake.settings import Settings
from shared.observability.logging import configure_logging
from shared.observability.server import run_service


def main() -> int:
    """Run intake; returns the exit code."""
    settings = Settings()
    configure_logging(NAME, settings.log_level)
    return run_service(
        create_app(settings),
        service=NAME,
        host=settings.http_host,
        port=settings.http_port,
        log_level=settings.log_level,
    )


if __name__ == "__main__":
    sys.exit(main())
