"""``python -m services.archive``: run the archive until SIGTERM."""

import sys

from shared.observability.starting import uncollected

with uncollected():
    from services.archive.bootstrap import SERVICE, create_app
    from services.archive.settings import Settings
    from shared.observability.allocator import LARGE
    from shared.observability.environment import read_settings
    from shared.observability.server import run_service


def main() -> int:
    """Serve until SIGTERM; returns the exit code."""
    settings = read_settings(Settings, SERVICE)
    return run_service(
        create_app(settings),
        service=SERVICE,
        host=settings.http_host,
        port=settings.http_port,
        log_level=settings.log_level,
        block_bytes=LARGE,
    )


if __name__ == "__main__":
    sys.exit(main())
