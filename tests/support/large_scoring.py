"""``python -m tests.support.large_scoring``: scoring with 20,000 windows instead of the committed units."""

import sys
from typing import Final

from services.scoring.bootstrap import SERVICE, create_app
from services.scoring.settings import Settings
from shared.observability.logging import configure_logging
from shared.observability.server import run_service
from tests.bench.fold_events import registry_of

WINDOWS: Final = 20_000


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    settings = Settings()
    configure_logging(SERVICE, settings.log_level)
    app = create_app(settings, registry=registry_of(WINDOWS))
    return run_service(
        app, service=SERVICE, host=settings.http_host, port=settings.http_port, log_level=settings.log_level
    )


if __name__ == "__main__":
    sys.exit(main())
