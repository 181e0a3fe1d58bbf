"""The compression of WebSockets: what a peer gets, and what is kept between messages."""

from __future__ import annotations

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode

from tests.fakes import until
from webapp import compression
from webapp.compression import Deflate, DeflateFactory

TEXT = "".join(f'<hx-partial id="r2-{number}"> word{number}</hx-partial>' for number in range(20))


@pytest.fixture
def soon_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "UNUSED_SECONDS", 0.01)


def agreed() -> tuple[Deflate, PerMessageDeflate]:
    """The two ends of a connection, as a browser and the server agree on them."""
    offer = ClientPerMessageDeflateFactory(client_max_window_bits=True)
    params, ours = DeflateFactory().process_request_params(offer.get_request_params(), [])
    return ours, offer.process_response_params(params, [])


def passed_on(sender: PerMessageDeflate, receiver: PerMessageDeflate, text: str) -> str:
    return bytes(receiver.decode(sender.encode(Frame(Opcode.TEXT, text.encode()))).data).decode()


async def unused(ours: Deflate) -> None:
    await until(lambda: ours.encoder is None, "the compressor to be given up")


async def test_nothing_is_kept_before_the_first_message_and_after_the_last(soon_unused: None) -> None:
    ours, theirs = agreed()

    assert ours.encoder is None
    passed_on(ours, theirs, TEXT)
    assert ours.encoder is not None
    await unused(ours)


async def test_a_peer_reads_on_after_a_compressor_was_given_up(soon_unused: None) -> None:
    ours, theirs = agreed()

    for _ in range(3):
        assert passed_on(ours, theirs, TEXT) == TEXT
        assert passed_on(ours, theirs, TEXT[:99]) == TEXT[:99]
        await unused(ours)


async def test_a_message_that_follows_soon_refers_to_the_one_before() -> None:
    ours, _ = agreed()

    first, second = (ours.encode(Frame(Opcode.TEXT, TEXT.encode())) for _ in range(2))

    assert len(second.data) < len(first.data) / 4


async def test_a_compressor_in_use_is_kept(soon_unused: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = agreed()
    looks, look = 0, Deflate._look

    def counted(self: Deflate) -> None:
        nonlocal looks
        looks += 1
        self.encode(Frame(Opcode.TEXT, b"x"))
        look(self)

    monkeypatch.setattr(Deflate, "_look", counted)
    passed_on(ours, theirs, TEXT)
    used = ours.encoder
    await until(lambda: looks > 3, "some looks")

    assert ours.encoder is used


async def test_what_peers_send_is_read(soon_unused: None) -> None:
    ours, theirs = agreed()

    assert [passed_on(theirs, ours, TEXT) for _ in range(3)] == [TEXT] * 3
    assert not hasattr(ours, "decoder")
