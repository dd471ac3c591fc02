"""``python -m services.scoring``: one process, one fold."""

import asyncio
import sys

from shared.observability.starting import uncollected

with uncollected():
    from services.scoring.bootstrap import SERVICE, create_app
    from services.scoring.settings import Settings
    from shared.messaging.registry import units_at_start
    from shared.observability.allocator import LARGE
    from shared.observability.environment import read_settings
    from shared.observability.server import run_service


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    settings = read_settings(Settings, SERVICE)
    units = asyncio.run(units_at_start(settings, SERVICE, settings.units_path))
    app = create_app(settings, registry=units)
    return run_service(
        app,
        service=SERVICE,
        host=settings.http_host,
        port=settings.http_port,
        log_level=settings.log_level,
        block_bytes=LARGE,
    )


if __name__ == "__main__":
    sys.exit(main())
