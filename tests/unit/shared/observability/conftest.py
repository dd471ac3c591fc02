import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.observability.logging import configure_logging
from tests.unit.shared.observability.probe import Probe


@pytest.fixture
def probe() -> Iterator[Probe]:
    found = Probe()
    configure_logging("intake", "DEBUG", stream=found.log)
    yield found
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if type(h).__module__ != "shared.observability.logging"]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
