"""The command line: ``pingyi <command>``.

To add a command, write ``deploy/local/commands/<name>.py`` with one typed function (its docstring is the help
text; shared options come from ``commands.options``) and add a line to ``COMMANDS``; for a group of commands
write a ``typer.Typer`` and add it to ``GROUPS``.
"""

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import structlog
import typer

from deploy.local.api import ServiceRefusedError
from deploy.local.commands.audit import audit
from deploy.local.commands.deadletter import deadletter
from deploy.local.commands.demo import demo
from deploy.local.commands.doctor import doctor
from deploy.local.commands.events import events
from deploy.local.commands.rankings import rankings
from deploy.local.commands.recompute import recompute
from deploy.local.commands.rules import rules
from deploy.local.commands.status import status
from deploy.local.commands.submit import submit
from deploy.local.commands.up import down, up
from shared.kernel.errors import PingyiError

COMMANDS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("demo", demo),
    ("up", up),
    ("down", down),
    ("status", status),
    ("doctor", doctor),
    ("submit", submit),
    ("rankings", rankings),
    ("recompute", recompute),
)

GROUPS: tuple[tuple[str, typer.Typer], ...] = (
    ("events", events),
    ("audit", audit),
    ("rules", rules),
    ("deadletter", deadletter),
)


def make_app() -> typer.Typer:
    """The whole command line as a typer application."""
    app = typer.Typer(
        name="pingyi",
        help="Public appraisal (民主评议) of civil-affairs service windows.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, command in COMMANDS:
        app.command(name)(command)
    for name, group in GROUPS:
        app.add_typer(group, name=name)
    return app


def main() -> None:
    """Run the command line; an expected error becomes one message on stderr and exit code 1."""
    # What shared code logs is for services; a person at a terminal sees errors only, and beside the answer.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        make_app()()
    except (PingyiError, OSError) as error:
        if "--json" in sys.argv:
            typer.echo(json.dumps(problem_of(error), ensure_ascii=False))
        else:
            typer.echo(f"pingyi: {error}", err=True)
        sys.exit(1)


def problem_of(error: Exception) -> dict[str, Any]:
    """An error for machines: the service's own problem detail, or one in the same form."""
    if isinstance(error, ServiceRefusedError):
        return error.problem
    return {"title": "The command failed", "detail": str(error), "errors": []}
