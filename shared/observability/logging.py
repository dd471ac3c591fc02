"""Structured logs: one JSON object per line on stdout, ours and the libraries' alike.

Every line has `timestamp` (UTC), `level`, `service` and `event`, and inside a request or message
`correlation_id`, `causation_id` and `event_id`. Keys that could carry a citizen's words or contacts are
blanked, whoever passes them; tracebacks come without what their messages quote.
"""

import json
import logging
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import BinaryIO, Final, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from shared.kernel.clock import rfc3339
from shared.kernel.errors import InvalidValueError, PingyiError
from shared.observability.tracebacks import safe_traceback
from shared.observability.tracing import current_context

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

PRIVATE_KEYS: Final = frozenset(
    {"text", "contact", "phone", "id_number", "citizen", "body", "secret", "password"}
)
"""Keys whose values never reach a log."""

_LIBRARIES: Final = {
    "uvicorn.access": logging.CRITICAL,  # our own canonical line per request replaces it
    "asyncio": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "nats": logging.WARNING,
    "pymongo": logging.WARNING,
}
_NAMES: Final = {logging.getLevelNamesMapping()[name]: name.lower() for name in LEVELS}
_RECORD_KEYS: Final = frozenset({"correlation_id", "causation_id", "event_id"})


class LineWriter:
    """Writes whole lines to a binary stream; a closed pipe must not take the service down.

    Every line is flushed at once, except between `hold` and `release`: there lines below a warning wait in
    the stream's buffer for the next `flush`. A system call for each request is 7 % of its cost.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._held = False

    def msg(self, line: bytes) -> None:
        """Write one line, newline added, and flush it; lost without a reader."""
        self._write(line, flush=True)

    def routine(self, line: bytes) -> None:
        """Write one line that may wait a moment."""
        self._write(line, flush=not self._held)

    def hold(self) -> None:
        """From now on somebody calls `flush` regularly; routine lines wait for it."""
        self._held = True

    def release(self) -> None:
        """Flush, and flush every line again."""
        self._held = False
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with suppress(OSError, ValueError), self._lock:
            self._stream.flush()

    def _write(self, line: bytes, *, flush: bool) -> None:
        try:
            with self._lock:
                self._stream.write(line + b"\n")
                if flush:
                    self._stream.flush()
        except (OSError, ValueError):
            pass  # Nobody reads our logs any more: there is nowhere to say so.

    debug = info = routine
    log = warn = warning = error = critical = fatal = exception = failure = err = msg


_to_json: Final = msgspec.json.Encoder(enc_hook=repr).encode


def _encode(event: Mapping[str, object]) -> bytes:
    try:
        return _to_json(event)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError):
        # Lone surrogates and odd mappings: slower and escaped, but never lost.
        return json.dumps({str(key): repr(value) for key, value in event.items()}).encode()


class _Processor:
    """Adds service, level, time and ids, blanks private keys, renders to one line of JSON."""

    def __init__(self, service: str, level: int, writer: LineWriter) -> None:
        self._service = service
        self._level = level
        self._writer = writer

    def write(self, level: int, event: EventDict) -> None:
        """Write a line that may wait a moment, if lines of its level are written at all."""
        if level >= self._level:
            (line,), _ = self(None, _NAMES[level], event)
            self._writer.routine(line)

    def __call__(
        self, _logger: WrappedLogger, method: str, event: EventDict
    ) -> tuple[tuple[bytes], dict[str, object]]:
        line: dict[str, object] = {
            "timestamp": rfc3339(datetime.now(UTC)),
            "level": "error" if method == "exception" else method,
            "service": self._service,
            "event": event.pop("event", ""),
        }
        context = current_context()
        if context.correlation_id is not None:
            line["correlation_id"] = context.correlation_id
        if context.causation_id is not None:
            line["causation_id"] = context.causation_id
        if context.event_id is not None:
            line["event_id"] = context.event_id
        line.update(event)
        if not PRIVATE_KEYS.isdisjoint(line):
            for key in PRIVATE_KEYS & line.keys():
                line[key] = "[removed]"
        return (_encode(line),), {}


class _StdlibRoute(logging.Handler):
    """Sends records of libraries through the same rendering."""

    def __init__(self, target: FilteringBoundLogger) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)  # wrong number of arguments in a library's call
        extra = {key: value for key, value in vars(record).items() if key in _RECORD_KEYS}
        self._target.log(
            record.levelno, message, logger=record.name, exc_info=record.exc_info or None, **extra
        )


def configure_logging(service: str, level: str = "INFO", *, stream: BinaryIO | None = None) -> LineWriter:
    """Set up structured logging for the process; calling it again replaces the earlier set-up.

    Args:
        service: name in every line, e.g. ``intake``.
        level: lowest level written: DEBUG, INFO, WARNING, ERROR or CRITICAL, in any case.
        stream: where to write; stdout if None.

    Returns:
        What writes the lines.

    Raises:
        InvalidValueError: unknown level.
    """
    name = level.upper()
    if name not in LEVELS:
        raise InvalidValueError(level, f"one of {', '.join(LEVELS)}", "correct LOG_LEVEL", field="LOG_LEVEL")
    number = logging.getLevelNamesMapping()[name]
    writer = LineWriter(stream if stream is not None else sys.stdout.buffer)
    structlog.configure(
        processors=[
            structlog.processors.ExceptionRenderer(safe_traceback),
            _Processor(service, number, writer),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: writer,
        # Not cached: tests and a second call of this function replace the set-up.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _StdlibRoute):
            root.removeHandler(handler)
    root.addHandler(_StdlibRoute(get_logger()))
    root.setLevel(number)
    for library, floor in _LIBRARIES.items():
        logging.getLogger(library).setLevel(max(floor, number))
    for library in ("uvicorn", "uvicorn.error", "uvicorn.access", "faststream"):
        logger = logging.getLogger(library)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(capture=True)
    sys.excepthook = _last_words
    return writer


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What kills the process is told like everything else: Python would print a client's words."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        # Our own errors say what to do: nobody should have to look for that in a traceback.
        reason = {"reason": str(error)} if issubclass(kind, PingyiError) else {}
        get_logger().critical("process ends", **reason, exc_info=(kind, error, trace))


def write_routine(level: int, event: str, **values: object) -> None:
    """Write what ``get_logger().log(level, event, **values)`` writes, at a third of its cost.

    For one line that comes thousands of times a second: making a logger for it is more work than the line.
    """
    last = structlog.get_config()["processors"][-1]
    if isinstance(last, _Processor):
        last.write(level, {"event": event, **values})
    else:  # not set up by us: a test looks on
        get_logger().log(level, event, **values)


def get_logger(**bound: object) -> FilteringBoundLogger:
    """Return a logger; `bound` are keys that every line of it carries.

    Works at import time: it resolves the set-up when it is used.
    """
    return cast("FilteringBoundLogger", structlog.get_logger(**bound))
