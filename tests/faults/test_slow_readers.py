"""Readers whose network takes little or nothing: what they cost, whom they delay, what they see in the end."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import h11
import httpx
import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from tests.clients import EventStream, following, new_reader, socket
from tests.dom import Dom
from tests.fakes import Exchange, RillServer, ScriptedUpstream, rill_server, until
from tests.faults.raw import GIVES_BACK, Wire, memory_bytes, unsent_bytes, wire

PARAGRAPH = "&" * 1000 + "\n\n"
"""Becomes five times as long in HTML, so that little to read for the server is much to send."""
PARAGRAPHS = 2000
SENT_BYTES = 5 * 1000 * PARAGRAPHS
"""What each reader of the reply is sent, at least."""
KERNEL_BYTES = 4_194_304
"""What the kernel holds of that for a reader who is stuck (`net.ipv4.tcp_wmem`), which is not the server's memory."""

SMALL_WINDOW_BYTES = 2048
ENDED = 'data-state="finished"'


class SocketFeed:
    """What a page's WebSocket is told, made of bytes."""

    def __init__(self, reader: httpx.AsyncClient, path: str) -> None:
        uri = parse_uri(str(reader.base_url.join(path)).replace("http", "ws", 1))
        self._protocol = ClientProtocol(uri, max_size=None)
        self._cookies = cookies(reader)

    def request(self) -> bytes:
        request = self._protocol.connect()
        request.headers["Cookie"] = self._cookies
        self._protocol.send_request(request)
        return b"".join(self._protocol.data_to_send())

    def messages(self, piece: bytes) -> Iterator[str]:
        """Give the messages that a piece completes."""
        self._protocol.receive_data(piece)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                assert event.fin
                yield bytes(event.data).decode()


class EventFeed:
    """What a page's event stream is told, made of bytes."""

    def __init__(self, reader: httpx.AsyncClient, path: str) -> None:
        self._connection = h11.Connection(h11.CLIENT)
        self._stream = EventStream()
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._head = [("Host", reader.base_url.netloc.decode()), ("Cookie", cookies(reader))]
        self._path = path

    def request(self) -> bytes:
        request = h11.Request(method="GET", target=self._path, headers=[*self._head, ("Accept", "text/event-stream")])
        return (self._connection.send(request) or b"") + (self._connection.send(h11.EndOfMessage()) or b"")

    def messages(self, piece: bytes) -> Iterator[str]:
        """Give the messages that a piece completes."""
        self._connection.receive_data(piece)
        while isinstance(event := self._connection.next_event(), h11.Response | h11.Data):
            if isinstance(event, h11.Data):
                yield from (told.data for told in self._stream.feed(self._decode(bytes(event.data))))


def cookies(reader: httpx.AsyncClient) -> str:
    return "; ".join(f"{name}={value}" for name, value in reader.cookies.items())


TRANSPORTS: dict[str, type[SocketFeed | EventFeed]] = {"websocket": SocketFeed, "event stream": EventFeed}


class SlowReader:
    """A page whose network takes what the test lets it."""

    def __init__(self, reader: httpx.AsyncClient, transport: str, page: Dom, wire: Wire) -> None:
        self._reader, self._transport, self.page, self.wire = reader, transport, page, wire
        self._feed = self._connect()
        self._taken: list[bytes] = []
        self.largest_message_chars = 0

    @property
    def url(self) -> str:
        """The feed of this page, with its own place in it."""
        return self.page.attribute("main", "hx-ws:connect")

    async def begin(self) -> None:
        """Connect, and learn that the server answers."""
        await self.wire.send(self._feed.request())
        await self.take_byte()

    async def take_byte(self) -> None:
        self._taken.append(await self.wire.receive(1))

    async def catch_up(self) -> None:
        """Read on as fast as it goes; whoever was let go comes back, as pages do."""
        for piece in self._taken:
            self._apply(piece)
        if not await self._read_to_the_end(self.wire):
            self._feed = self._connect()
            async with wire(int(str(self._reader.base_url.port))) as again:
                await again.send(self._feed.request())
                assert await self._read_to_the_end(again)

    async def _read_to_the_end(self, connection: Wire) -> bool:
        while self.page.state() == "running":
            piece = await connection.receive(1_048_576)
            if not piece:
                return False
            self._apply(piece)
        return True

    def _apply(self, piece: bytes) -> None:
        for message in self._feed.messages(piece):
            self.largest_message_chars = max(self.largest_message_chars, len(message))
            self.page.receive(message)

    def _connect(self) -> SocketFeed | EventFeed:
        return TRANSPORTS[self._transport](self._reader, self.url)


class LongReply:
    """A reply that begins at once, and grows by very much when the test lets it."""

    def __init__(self, shared_upstream: ScriptedUpstream) -> None:
        self._go = asyncio.Event()
        shared_upstream.script = self._script

    def let(self) -> None:
        self._go.set()

    async def _script(self, exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk("It begins.\n\n")
        await self._go.wait()
        for _ in range(PARAGRAPHS):
            await exchange.chunk(PARAGRAPH)
        await exchange.finish()


async def loaded(reader: httpx.AsyncClient, path: str) -> Dom:
    reader.cookies.delete("rill_scripts")
    return Dom((await reader.get(path)).text)


async def asked(reader: httpx.AsyncClient) -> str:
    """Begin a conversation; give its path."""
    answer = await reader.post("/messages", data={"prompt": "Hello"})
    assert answer.status_code == 303
    return str(answer.headers["location"])


@asynccontextmanager
async def slow_reader(
    reader: httpx.AsyncClient, transport: str, path: str, window_bytes: int | None
) -> AsyncIterator[SlowReader]:
    page = await loaded(reader, path)
    async with wire(int(str(reader.base_url.port)), window_bytes=window_bytes) as connection:
        slow = SlowReader(reader, transport, page, connection)
        await slow.begin()
        yield slow


async def follow_to_the_end(reader: httpx.AsyncClient, path: str, at_each: list[SlowReader]) -> list[str]:
    """Follow a reply over both transports, as fast as it comes; with each event, the slow ones read one byte each."""

    async def over_socket() -> str:
        async with socket(reader, f"{path}/stream", max_size=None) as connected:
            while ENDED not in (frame := str(await connected.recv())):
                pass
        return frame

    async def over_events() -> str:
        async with following(reader, path) as (_, events):
            async for event in events:
                for slow in at_each:
                    await slow.take_byte()
                if ENDED in event.data:
                    return event.data
        raise AssertionError("the stream ended before the reply")

    return list(await asyncio.gather(over_socket(), over_events()))


@pytest.fixture(scope="module")
async def rill(
    tmp_path_factory: pytest.TempPathFactory, shared_upstream: ScriptedUpstream
) -> AsyncIterator[RillServer]:
    model = {"OPENAI_BASE_URL": shared_upstream.base_url, "OPENAI_API_KEY": "k", "RILL_MAX_REPLY_CHARS": "10000000"}
    async with rill_server(tmp_path_factory.mktemp("rill"), **model, **GIVES_BACK) as running:
        yield running


@pytest.fixture
async def reader(rill: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with new_reader(rill) as client:
        await client.get("/")
        yield client


@pytest.mark.timeout(240)
async def test_slow_readers_cost_little_delay_nobody_and_are_right_in_the_end(
    rill: RillServer, shared_upstream: ScriptedUpstream, reader: httpx.AsyncClient
) -> None:
    without_slow_ones = [await memory_after_a_reply(rill, shared_upstream, reader) for _ in range(3)]
    reply = LongReply(shared_upstream)
    path = await asked(reader)
    async with AsyncExitStack() as stack:
        # Two of each kind on each transport.
        nothing, single_bytes, small_window = [
            [await stack.enter_async_context(slow_reader(reader, name, path, window)) for name in [*TRANSPORTS] * 2]
            for window in (None, None, SMALL_WINDOW_BYTES)
        ]
        slow = [*nothing, *single_bytes, *small_window]
        reply.let()

        await follow_to_the_end(reader, path, single_bytes)

        assert all(unsent_bytes(rill, one.wire.port) for one in slow)
        # To write on for a reader who is stuck would cost all that the kernel does not hold, for each of them.
        cost_bytes = memory_bytes(rill) - max(without_slow_ones)
        assert cost_bytes < (SENT_BYTES - KERNEL_BYTES) * len(slow) / 2
        fresh = (await loaded(reader, path)).transcript()
        for one in slow:
            await one.catch_up()
            assert one.page.transcript() == fresh
            # A snapshot stands for what was not queued.
            assert one.largest_message_chars > SENT_BYTES


async def memory_after_a_reply(rill: RillServer, shared_upstream: ScriptedUpstream, reader: httpx.AsyncClient) -> int:
    """Have a long reply written while nobody is slow."""
    reply = LongReply(shared_upstream)
    path = await asked(reader)
    reply.let()
    await follow_to_the_end(reader, path, [])
    return memory_bytes(rill)


@pytest.mark.timeout(240)
async def test_whoever_takes_nothing_for_long_is_let_go_and_comes_back_to_the_whole_reply(
    rill: RillServer, shared_upstream: ScriptedUpstream, reader: httpx.AsyncClient
) -> None:
    reply = LongReply(shared_upstream)
    path = await asked(reader)
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(slow_reader(reader, name, path, None)) for name in TRANSPORTS]
        reply.let()
        await until(lambda: all(unsent_bytes(rill, one.wire.port) for one in slow), "the readers to be stuck")

        await until(lambda: not any(unsent_bytes(rill, one.wire.port) for one in slow), "them to be let go", 60)

        fresh = (await loaded(reader, path)).transcript()
        for one in slow:
            await one.catch_up()
            assert one.page.transcript() == fresh
    assert "socket.too_slow" in rill.output
    assert "Traceback" not in rill.output
