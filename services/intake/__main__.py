"""``python -m services.intake``: serve until SIGTERM."""

import gc
import sys

from shared.observability.starting import uncollected

with uncollected():
    from services.intake.bootstrap import NAME, create_app
    from services.intake.composition.screening_process import screening_apart
    from services.intake.settings import Settings
    from shared.observability.environment import read_settings
    from shared.observability.server import run_service


def main() -> int:
    """Run intake; returns the exit code."""
    settings = read_settings(Settings, NAME)
    with screening_apart(settings) as apart:
        app = create_app(settings, apart=apart)
        _collect_seldom()
        return run_service(
            app,
            service=NAME,
            host=settings.http_host,
            port=settings.http_port,
            log_level=settings.log_level,
        )


def _collect_seldom() -> None:
    """Spare the garbage collector what lives for ever, and objects that one commit is waiting for.

    Reference counting frees what a rating leaves behind. With Python's own limits the collector looked
    through ratings under way again and again: a tenth of the processor time of a request.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


if __name__ == "__main__":
    sys.exit(main())
