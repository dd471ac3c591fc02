"""The command line: ``pingyi <command>``.

To add a command, write ``deploy/local/commands/<name>.py`` with one typed function (its docstring is the help
text; shared options come from ``commands.options``), or with a ``typer.Typer`` for a group of commands, and
add a line to ``COMMANDS``.
"""

import json
import logging
import sys
from io import TextIOWrapper
from pkgutil import resolve_name
from typing import Any, Final

import structlog
import typer

from deploy.local.errors import ServiceRefusedError
from shared.kernel.errors import PingyiError

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as of a shell: 128 and the signal."""

COMMANDS: Final = (
    ("demo", "deploy.local.commands.demo:demo"),
    ("up", "deploy.local.commands.up:up"),
    ("down", "deploy.local.commands.up:down"),
    ("status", "deploy.local.commands.status:status"),
    ("doctor", "deploy.local.commands.doctor:doctor"),
    ("submit", "deploy.local.commands.submit:submit"),
    ("import", "deploy.local.commands.import_:import_"),
    ("rankings", "deploy.local.commands.rankings:rankings"),
    ("recompute", "deploy.local.commands.recompute:recompute"),
    ("witness", "deploy.local.commands.witness:witness"),
    ("trace", "deploy.local.commands.trace:trace"),
    ("erase", "deploy.local.commands.erase:erase"),
    ("token", "deploy.local.commands.token:token"),
    ("tokens", "deploy.local.commands.tokens:tokens"),
    ("cases", "deploy.local.commands.cases:cases"),
    ("sanctions", "deploy.local.commands.sanctions:sanctions"),
    ("nominations", "deploy.local.commands.sanctions:nominations"),
    ("feedback", "deploy.local.commands.feedback:feedback"),
    ("approvals", "deploy.local.commands.approvals:approvals"),
    ("unmask", "deploy.local.commands.unmask:unmask"),
    ("vault", "deploy.local.commands.vault:vault"),
    ("quarantine", "deploy.local.commands.quarantine:quarantine"),
    ("credential", "deploy.local.commands.credential:credential"),
    ("events", "deploy.local.commands.events:events"),
    ("audit", "deploy.local.commands.audit:audit"),
    ("registry", "deploy.local.commands.registry:registry"),
    ("bulletin", "deploy.local.commands.bulletin:bulletin"),
    ("channels", "deploy.local.commands.channels:channels"),
    ("rules", "deploy.local.commands.rules:rules"),
    ("spool", "deploy.local.commands.spool:spool"),
    ("alerts", "deploy.local.commands.alerts:alerts"),
    ("recipients", "deploy.local.commands.recipients:recipients"),
    ("deadletter", "deploy.local.commands.deadletter:deadletter"),
)
"""Name and place of every command, in the order of the help.

Places and not functions: loading the code of all of them takes 0.9 s of processor time, that of the few that
a person waits for a third of it.
"""


def make_app(asked: str | None = None) -> typer.Typer:
    """The command line as a typer application.

    Args:
        asked: name of a command: then the application has, and loads, that one only. With anything else, and
            without it, the application has all of them.
    """
    app = typer.Typer(
        name="pingyi",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(help="Public appraisal (民主评议) of civil-affairs service windows.")(_all_commands)
    for name, place in [command for command in COMMANDS if command[0] == asked] or COMMANDS:
        command = resolve_name(place)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def _all_commands() -> None:
    """Nothing is common to them; with it, one command alone keeps its name on the command line."""


def main() -> None:
    """Run the command line; an expected error becomes one message on stderr and exit code 1."""
    _write_what_the_terminal_lacks(as_json="--json" in sys.argv)
    # What shared code logs is for services; a person at a terminal sees errors only, and beside the answer.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        make_app(sys.argv[1] if len(sys.argv) > 1 else None)()
    except KeyboardInterrupt:  # while the command's code was being loaded; later typer says so itself
        sys.exit(INTERRUPTED)
    except (PingyiError, OSError, UnicodeEncodeError) as error:
        if "--json" in sys.argv:
            typer.echo(json.dumps(problem_of(error), ensure_ascii=False))
        else:
            typer.echo(f"pingyi: {message_of(error)}", err=True)
        sys.exit(1)


def message_of(error: Exception) -> str:
    """What an error says to a person; a refusal of the system's about a file as any other of ours."""
    if isinstance(error, OSError) and error.filename is not None:
        expected = f"a path that can be used ({error.strerror}): correct it, or the permissions there."
        return f"Got {str(error.filename)!r}, expected {expected}"
    if isinstance(error, UnicodeEncodeError):  # paths may be of other bytes, what is sent or printed may not
        return f"Got {error.object!a}, expected arguments in UTF-8: set the terminal's encoding to it."
    return str(error)


def _write_what_the_terminal_lacks(*, as_json: bool) -> None:
    """Let no character that the locale's encoding has no bytes for end a command: it becomes `?`.

    JSON is UTF-8 (RFC 8259) whatever the locale: a machine reads it, and `?` would be another text.
    """
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(encoding="utf-8" if as_json else None, errors="replace")


def problem_of(error: Exception) -> dict[str, Any]:
    """An error for machines: the service's own problem detail, or one in the same form."""
    if isinstance(error, ServiceRefusedError):
        return error.problem
    return {"title": "The command failed", "detail": message_of(error), "errors": []}
