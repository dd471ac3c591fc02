"""Reading a service's environment: what is wrong is logged variable by variable, like everything else."""

import sys
from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from shared.observability.logging import configure_logging, get_logger
from shared.observability.problem import field_errors

MISCONFIGURED: Final = 78
"""Exit code (EX_CONFIG of sysexits.h): the environment has to be corrected, a restart does not help."""

Settings = TypeVar("Settings", bound=BaseSettings)


def read_settings(kind: type[Settings], service: str) -> Settings:
    """Read the environment as ``kind`` says; logging is set up from then on, at its level if that is one.

    Raises:
        SystemExit: something is wrong with it; each variable has been logged, without its value where that
            may be a secret.
        InvalidValueError: no such level.
    """
    configure_logging(service)
    try:
        settings = kind()
    except ValidationError as error:
        for each in field_errors(error.errors()):
            get_logger().critical(
                "setting_refused",
                variable=each.field.upper(),
                value=each.value,
                expected=each.expected,
                remedy=f"correct the variable: {each.remedy}",
            )
        sys.exit(MISCONFIGURED)
    configure_logging(service, str(getattr(settings, "log_level", "INFO")))
    return settings
