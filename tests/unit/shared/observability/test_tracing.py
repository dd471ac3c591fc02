import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.observability.tracing import (
    TraceContext,
    child_of,
    current_context,
    current_correlation_id,
    current_traceparent,
    message_context,
    new_trace,
    parse_traceparent,
)

EXAMPLE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]")


def test_the_standards_example_is_read_and_written_back() -> None:
    context = parse_traceparent(EXAMPLE)
    assert context == TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
    assert context.header() == EXAMPLE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "x",
        EXAMPLE.upper(),
        EXAMPLE + "-extra",
        EXAMPLE + "\n",
        "ff" + EXAMPLE[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    ],
)
def test_a_malformed_header_starts_a_new_trace(header: str | None) -> None:
    assert parse_traceparent(header) is None
    assert VALID.fullmatch(child_of(header).header())


@pytest.mark.parametrize("number", ["13912345678", "110105194912310029", "8613912345678"])
def test_a_number_of_a_person_that_was_made_a_trace_starts_a_new_one(number: str) -> None:
    """A trace's id goes into events for good; ids of tracers are random, or at least half of them is."""
    for padded in (number.rjust(32, "0"), number.ljust(32, "a")):
        made = child_of(f"00-{padded}-00f067aa0ba902b7-01")
        assert number not in made.header()
        assert VALID.fullmatch(made.header())


@pytest.mark.parametrize("trace_id", ["0" * 16 + "a3ce929d0e0e4736", "4bf92f13912345678b34da6a3ce929d0"])
def test_short_ids_and_random_ones_that_hold_such_a_number_by_chance_go_on(trace_id: str) -> None:
    assert child_of(f"00-{trace_id}-00f067aa0ba902b7-01").trace_id == trace_id


def test_a_later_version_is_read_by_its_first_four_fields() -> None:
    context = parse_traceparent("01" + EXAMPLE[2:] + "-more")
    assert context is not None
    assert context.header() == EXAMPLE


def test_a_child_keeps_trace_and_sampling_and_has_a_span_of_its_own() -> None:
    child = child_of(EXAMPLE[:-1] + "0")
    assert child.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert child.span_id != "00f067aa0ba902b7"
    assert not child.sampled


@given(st.binary(min_size=24, max_size=24))
def test_new_traces_are_valid_whatever_the_randomness(noise: bytes) -> None:
    header = new_trace(lambda size: noise[:size]).header()
    assert VALID.fullmatch(header)
    assert VALID.fullmatch(child_of(header, lambda size: noise[:size]).header())


def test_ids_are_current_inside_a_message_only() -> None:
    assert current_correlation_id() is None
    with message_context(correlation_id="outer", event_id="e1"):
        with message_context(correlation_id="inner", traceparent=EXAMPLE, causation_id="e1"):
            assert (current_correlation_id(), current_traceparent()) == ("inner", EXAMPLE)
            assert current_context().causation_id == "e1"
        assert current_correlation_id() == "outer"
        assert current_traceparent() is None
    assert current_correlation_id() is None


async def test_simultaneous_messages_do_not_see_each_others_ids() -> None:
    async def handle(name: str) -> str | None:
        with message_context(correlation_id=name):
            await asyncio.sleep(0)
            return current_correlation_id()

    assert await asyncio.gather(*(handle(str(n)) for n in range(10))) == [str(n) for n in range(10)]
