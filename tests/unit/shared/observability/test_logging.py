import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import BinaryIO, cast

import pytest
import structlog

from shared.kernel.clock import parse_rfc3339
from shared.kernel.errors import InvalidValueError
from shared.observability.logging import configure_logging, get_logger
from shared.observability.tracing import message_context

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """A captured log; restores the process's logging afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.BytesIO()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def lines(stream: io.BytesIO) -> Lines:
    configure_logging("intake", "INFO", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_service_and_event(lines: Lines) -> None:
    get_logger(component="x").info("feedback accepted", grade=5, name_cn="南昌县")
    (line,) = lines()
    assert {k: v for k, v in line.items() if k != "timestamp"} == {
        "level": "info", "service": "intake", "event": "feedback accepted",
        "component": "x", "grade": 5, "name_cn": "南昌县",
    }  # fmt: skip
    assert abs((datetime.now(UTC) - parse_rfc3339(str(line["timestamp"]))).total_seconds()) < 60


def test_lines_inside_a_message_carry_its_ids(lines: Lines) -> None:
    with message_context(correlation_id="c", causation_id="p", event_id="e"):
        get_logger().info("inside")
        logging.getLogger("nats").error("inside a library")
    get_logger().info("outside")
    inside, library, outside = lines()
    for line in (inside, library):
        assert (line["correlation_id"], line["causation_id"], line["event_id"]) == ("c", "p", "e")
    assert "correlation_id" not in outside


@pytest.mark.parametrize(
    "name", ["uvicorn.error", "faststream", "nats.aio.client", "pymongo.topology", "anything"]
)
def test_libraries_lines_have_the_same_form(lines: Lines, name: str) -> None:
    logging.getLogger(name).warning("lost %s", "a connection")
    (line,) = lines()
    assert (line["event"], line["logger"], line["level"]) == ("lost a connection", name, "warning")
    assert line["service"] == "intake"


def test_uvicorns_access_log_is_off(lines: Lines) -> None:
    logging.getLogger("uvicorn.access").info("GET /")
    assert lines() == []


def test_lines_below_the_level_are_not_written(lines: Lines) -> None:
    get_logger().debug("no")
    logging.getLogger("x").debug("no")
    logging.getLogger("nats").info("no")
    assert lines() == []


def test_exceptions_are_written_with_their_traceback(lines: Lines) -> None:
    try:
        raise KeyError("gone")
    except KeyError:
        get_logger().exception("failed")
        logging.getLogger("x").exception("failed too")
    ours, theirs = lines()
    for line in (ours, theirs):
        assert line["level"] == "error"
        assert "KeyError: '…'" in str(line["exception"]), "what it quotes may be a client's"


def test_a_citizens_words_and_contacts_are_blanked(lines: Lines) -> None:
    get_logger().info("x", text="差", contact="13800000000", unit_id="U000001")
    assert "13800000000" not in json.dumps(lines())
    assert (lines()[0]["text"], lines()[0]["unit_id"]) == ("[removed]", "U000001")


@pytest.mark.parametrize("value", ["\ud800", object(), {1: {2}}, 10**400, float("nan"), b"\xff", {(1, 2): 3}])
def test_no_value_loses_the_line(lines: Lines, value: object) -> None:
    get_logger().info("odd", value=value)
    assert "odd" in str(lines()[0]["event"])


def test_a_librarys_wrong_format_arguments_do_not_lose_the_line(lines: Lines) -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%s %s", ("one",), None)
    (ours,) = [h for h in logging.getLogger().handlers if type(h).__module__.startswith("shared.")]
    ours.handle(record)
    assert lines()[0]["event"] == "%s %s"


def test_warnings_are_logged(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(capture=True)
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert lines()[0]["logger"] == "py.warnings"


def test_configuring_twice_replaces_the_first_set_up(stream: io.BytesIO, lines: Lines) -> None:
    second = io.BytesIO()
    configure_logging("scoring", "debug", stream=second)
    logging.getLogger("x").info("once")
    get_logger().debug("twice")
    assert lines() == []
    assert [json.loads(line)["service"] for line in second.getvalue().splitlines()] == ["scoring", "scoring"]
    assert stream.getvalue() == b""


def test_a_closed_pipe_does_not_take_the_service_down(stream: io.BytesIO) -> None:
    configure_logging("intake", stream=stream)
    stream.close()
    get_logger().info("nobody reads this")


def test_held_lines_wait_for_a_flush_a_warning_or_the_release(stream: io.BytesIO) -> None:
    writer = configure_logging(
        "intake", stream=cast("BinaryIO", io.BufferedWriter(cast("io.RawIOBase", stream)))
    )

    def written() -> list[str]:
        return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]

    get_logger().info("at once")
    assert written() == ["at once"]
    writer.hold()
    get_logger().info("waits")
    assert written() == ["at once"]
    writer.flush()
    assert written()[1:] == ["waits"]
    get_logger().info("waits too")
    get_logger().warning("goes out")
    assert written()[2:] == ["waits too", "goes out"]
    logging.getLogger("x").info("of a library")
    writer.release()
    assert written()[4:] == ["of a library"]
    get_logger().info("at once again")
    assert written()[5:] == ["at once again"]


def test_an_unknown_level_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(InvalidValueError, match=r"'LOUD'.*DEBUG, INFO.*LOG_LEVEL"):
        configure_logging("intake", "LOUD")
