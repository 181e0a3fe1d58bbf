"""The parser of upstreams' event streams, against the WHATWG grammar (HTML specification, section 9.2)."""

from __future__ import annotations

import random

import pytest

from tests.clients import EventStream
from webapp.providers.sse import MAX_EVENT_BYTES, EventStreamParser, EventTooLarge, UpstreamEvent


def parse(*pieces: bytes) -> list[UpstreamEvent]:
    parser = EventStreamParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def datas(*pieces: bytes) -> list[bytes]:
    return [event.data for event in parse(*pieces)]


def test_an_event_is_given_once_its_empty_line_has_come() -> None:
    parser = EventStreamParser()

    assert parser.feed(b"data: one\n") == []
    assert parser.feed(b"\n") == [UpstreamEvent("", b"one")]
    assert parser.feed(b"data: two") == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_kind_of_line_end_is_one(end: bytes) -> None:
    stream = end.join([b"event: x", b"data: a", b"data: b", b"", b"data: c", b"", b": more", b""])

    assert parse(stream) == [UpstreamEvent("x", b"a\nb"), UpstreamEvent("", b"c")]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data:no space\n\n", [b"no space"]),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b"data: a: b: c\n\n", [b"a: b: c"]),
        (b"data\n\n", [b""]),
        (b"data\ndata\n\n", [b"\n"]),
        (b": a comment\n\ndata: x\n\n", [b"x"]),
        (b"id: 7\nretry: 5\n\ndata: x\n\n", [b"x"]),
        (b"data: x\nid: 7\nunknown: 1\n\n", [b"x"]),
        (b" data: not a field\n\ndata: x\n\n", [b"x"]),
        (b"event: only a name\n\ndata: x\n\n", [b"x"]),
        (b"\n\n\n", []),
        (b"data: not ended\n", []),
        (b"\xef\xbb\xbfdata: after a byte order mark\n\n", [b"after a byte order mark"]),
    ],
)
def test_the_grammars_corners(stream: bytes, expected: list[bytes]) -> None:
    assert datas(stream) == expected


def test_a_name_is_its_own_events_only() -> None:
    assert parse(b"event: error\ndata: a\n\ndata: b\n\n") == [UpstreamEvent("error", b"a"), UpstreamEvent("", b"b")]


def test_the_events_do_not_depend_on_where_the_stream_was_cut() -> None:
    chance = random.Random(6)
    parts = [b"data: x", b"data:", b"event: e", b": c", b"", b"", b"\xf0\x9f\x90\x99", b"data: \xf0\x9f\x90\x99"]
    for _ in range(2000):
        lines = [chance.choice(parts) + chance.choice([b"\n", b"\r\n", b"\r"]) for _ in range(chance.randint(1, 12))]
        # A last line, so that no carriage return waits for what follows it.
        whole = b"".join(lines) + b": end"
        places = sorted(chance.randint(0, len(whole)) for _ in range(chance.randint(0, 20)))
        pieces = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]

        assert parse(*pieces) == parse(whole), (whole, pieces)


def test_the_parser_agrees_with_a_plain_reading_of_the_specification() -> None:
    chance = random.Random(7)
    parts = ["data: x", "data:y", "data", "event: e", ": c", "", "", "id: 3", "data: \u00e9", "dat: z", "retry: 1"]
    for _ in range(2000):
        whole = "".join(chance.choice(parts) + chance.choice(["\n", "\r\n", "\r"]) for _ in range(20)) + ": end"
        expected = [(event.name, event.data) for event in EventStream().feed(whole) if event.values("data")]

        assert [(event.name, event.data.decode()) for event in parse(whole.encode())] == expected, whole


def test_a_stream_in_single_bytes_gives_the_same_events() -> None:
    stream = b"event: e\r\ndata: one\r\n\r\ndata: two\n\ndata: three\r\r: end"

    assert parse(*(bytes([byte]) for byte in stream)) == parse(stream)
    assert datas(stream) == [b"one", b"two", b"three"]


def test_a_line_without_end_is_given_up_at_the_limit() -> None:
    piece = b"x" * 65536

    with pytest.raises(EventTooLarge):
        parse(*[piece] * (MAX_EVENT_BYTES // len(piece) + 1))


def test_an_event_of_many_lines_is_given_up_at_the_limit() -> None:
    line = b"data: " + b"x" * 1000 + b"\n"

    with pytest.raises(EventTooLarge):
        parse(*[line] * (MAX_EVENT_BYTES // 1000 + 1))


def test_an_event_just_below_the_limit_is_read() -> None:
    size = MAX_EVENT_BYTES - 100

    assert [len(data) for data in datas(b"data: " + b"x" * size + b"\n\n", b"data: y\n\n")] == [size, 1]
