"""Every way in which a model service is known to fail (FAULTS, section 5.1), and what has to become of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes import Exchange, Script

PROMPT = "Tell me about canary-prompt-7731."
KEY = "sk-test-canary-key"
MAX_REPLY_CHARS = 20_000
LEAKY = f"Incorrect key {KEY} for the prompt {PROMPT!r}"
"""What an upstream may say in its error's message; none of it may be passed on."""


@dataclass(frozen=True)
class Fault:
    """`cause` of `None` means that all is well after all; `kept` is the text that the transcript keeps.

    `logged` has to be in the server's log for the operator.
    """

    name: str
    script: Script
    cause: str | None
    kept: str = ""
    logged: str = ""

    @property
    def is_asked_again(self) -> bool:
        """Whether a model that fails so, without a word, is asked twice more."""
        return not self.kept and self.cause in {"too_many_requests", "endpoint_failed", "endpoint_unreachable"}

    @property
    def is_failure(self) -> bool:
        return self.cause not in {None, "length", "content_filter", "too_large"}


def status(number: int, media_type: str = "application/json", message: str = LEAKY, **error: object) -> Script:
    async def script(exchange: Exchange) -> None:
        body = {"error": {"message": message, "type": "scripted_type", "code": None, **error}}
        page = f"<!doctype html><title>{number}</title><p>{message}"
        await exchange.head(number, media_type)
        await exchange.raw((json.dumps(body) if media_type == "application/json" else page).encode())

    return script


def begun(then: Callable[[Exchange], object] | None = None, *, raw: bytes = b"") -> Script:
    """Begin well, then send something raw or do something, and close."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk("Partly ")
        await exchange.chunk("told")
        await exchange.raw(raw)
        if then is not None:
            then(exchange)

    return script


async def silent(exchange: Exchange) -> None:
    await exchange.was_closed.wait()


async def headers_then_silent(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.was_closed.wait()


async def stalls(exchange: Exchange) -> None:
    await begun()(exchange)
    await exchange.was_closed.wait()


async def only_comments(exchange: Exchange) -> None:
    """Keep-alives without a word: a proxy lives, the model does not."""
    await begun()(exchange)
    while not exchange.was_closed.is_set():
        await exchange.raw(b": still here\n\n" * 1000)


async def cut_chunked(exchange: Exchange) -> None:
    await exchange.head(Transfer_Encoding="chunked")
    body = b'data: {"choices":[{"delta":{"content":"Partly told"}}]}\n\n'
    await exchange.raw(b"%x\r\n%s\r\n" % (len(body), body))


async def reset_at_once(exchange: Exchange) -> None:
    exchange.reset()


async def html(exchange: Exchange) -> None:
    await exchange.head(200, "text/html; charset=utf-8")
    await exchange.raw(f"<!doctype html><title>Log in</title>{LEAKY}".encode())


async def whole_json(exchange: Exchange) -> None:
    """Ignore `stream: true`."""
    await exchange.json(200, {"choices": [{"message": {"content": LEAKY}, "finish_reason": "stop"}]})


async def empty(exchange: Exchange) -> None:
    await exchange.head()


async def done_at_once(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.raw(b"data: [DONE]\n\n")


async def finish_at_once(exchange: Exchange) -> None:
    await exchange.reply()


async def odd_choices(exchange: Exchange) -> None:
    await exchange.head()
    odd: list[object] = [None, [], {}, "x", [None], [{}], [{"delta": None}], [{"delta": {"content": 7}}]]
    await exchange.event({"usage": {"total_tokens": 7}})
    for choices in odd:
        await exchange.event({"choices": choices})
    await exchange.chunk("All ")
    await exchange.event({"choices": []})
    await exchange.chunk("well")
    await exchange.finish()


def finishes(reason: str) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.reply("Partly ", "told", reason=reason)

    return script


async def more_after_done(exchange: Exchange) -> None:
    await exchange.reply("All ", "well")
    await exchange.chunk(" and more")
    await exchange.raw(b"data: {nonsense\n\n")


async def held_open_after_finish(exchange: Exchange) -> None:
    """Say that the reply is whole, but neither `[DONE]` nor an end."""
    await exchange.head()
    await exchange.chunk("All well")
    await exchange.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    await exchange.was_closed.wait()


async def reset_after_finish(exchange: Exchange) -> None:
    await exchange.head(Transfer_Encoding="chunked")
    body = b'data: {"choices":[{"delta":{"content":"All well"},"finish_reason":"stop"}]}\n\n'
    await exchange.raw(b"%x\r\n%s\r\n" % (len(body), body))


async def single_bytes(exchange: Exchange) -> None:
    await exchange.head()
    body = 'data: {"choices":[{"delta":{"content":"All 🐙 well"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    for byte in body.encode():
        await exchange.raw(bytes([byte]))


async def crlf(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.raw(b'data: {"choices":[{"delta":{"content":"All "}}]}\r\n\r\n')
    await exchange.raw(b'data: {"choices":[{"delta":{"content":"well"},"finish_reason":"stop"}]}\r\n\r\n')
    await exchange.raw(b"data: [DONE]\r\n\r\n")


async def split_surrogates(exchange: Exchange) -> None:
    await exchange.reply("All ", "\ud83d", "\udc19", " well", "\ud83d")


async def endless_line(exchange: Exchange) -> None:
    await begun(raw=b'data: {"choices":[{"delta":{"content":"')(exchange)
    for _ in range(80):
        await exchange.raw(b"x" * 65_536)


async def endless_reply(exchange: Exchange) -> None:
    await exchange.head()
    while not exchange.was_closed.is_set():
        await exchange.chunk("x" * 1000)


PARTLY = "Partly told"
WELL = "All well"

FAULTS = [
    Fault("wrong key", status(401, code="invalid_api_key"), "key_rejected", logged="status 401"),
    Fault("forbidden", status(403), "key_rejected", logged="status 403"),
    Fault("unknown model", status(404, code="model_not_found"), "model_unknown", logged="model_not_found"),
    Fault("no such path", status(404, "text/html"), "not_a_chat_endpoint", logged="status 404"),
    Fault("too long", status(400, code="context_length_exceeded"), "too_long_for_model", logged="status 400"),
    Fault("too long, in words", status(400, message="exceeds the available context size"), "too_long_for_model"),
    Fault("payload too large", status(413), "too_long_for_model", logged="status 413"),
    Fault("bad request", status(400), "request_refused", logged="status 400"),
    Fault("unprocessable", status(422), "request_refused", logged="status 422"),
    Fault("busy", status(429, code="rate_limit_exceeded"), "too_many_requests", logged="rate_limit_exceeded"),
    Fault("its own error", status(500), "endpoint_failed", logged="status 500"),
    Fault("bad gateway page", status(502, "text/html"), "endpoint_failed", logged="status 502"),
    Fault("overloaded", status(503), "endpoint_failed", logged="status 503"),
    Fault("no headers", silent, "endpoint_silent"),
    Fault("headers only", headers_then_silent, "endpoint_silent"),
    Fault("a stall", stalls, "endpoint_silent", PARTLY),
    Fault("a live proxy, a dead model", only_comments, "endpoint_silent", PARTLY),
    Fault("cut, chunked", cut_chunked, "broken_reply", PARTLY),
    Fault("cut, close-delimited", begun(), "broken_reply", PARTLY),
    Fault("a reset midway", begun(Exchange.reset), "broken_reply", PARTLY),
    Fault("a reset at once", reset_at_once, "endpoint_unreachable"),
    Fault("malformed JSON", begun(raw=b'data: {"choices": [{"delta"\n\n'), "broken_reply", PARTLY),
    Fault("JSON of great depth", begun(raw=b"data: " + b"[" * 100_000 + b"\n\n"), "broken_reply", PARTLY),
    Fault("no JSON object", begun(raw=b"data: 42\n\n"), "endpoint_failed", PARTLY),
    Fault("bad UTF-8", begun(raw=b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n'), "broken_reply", PARTLY),
    Fault(
        "an error as data",
        begun(raw=b"data: " + json.dumps({"error": {"message": LEAKY, "code": "server_on_fire"}}).encode() + b"\n\n"),
        "endpoint_failed",
        PARTLY,
        "server_on_fire",
    ),
    Fault(
        "an error as an event",
        begun(raw=b"event: error\ndata: " + json.dumps({"message": LEAKY}).encode() + b"\n\n"),
        "endpoint_failed",
        PARTLY,
    ),
    Fault("a web page", html, "not_a_chat_endpoint", logged="status 200"),
    Fault("no stream", whole_json, "empty_reply"),
    Fault("an empty stream", empty, "empty_reply"),
    Fault("only [DONE]", done_at_once, "empty_reply"),
    Fault("only a finish", finish_at_once, "empty_reply"),
    Fault("an endless line", endless_line, "broken_reply", PARTLY),
    Fault("cut at the model's limit", finishes("length"), "length", PARTLY),
    Fault("filtered", finishes("content_filter"), "content_filter", PARTLY),
    Fault("an unknown finish", finishes("tool_calls"), None, PARTLY),
    Fault("odd choices", odd_choices, None, WELL),
    Fault("more after [DONE]", more_after_done, None, WELL),
    Fault("held open after the finish", held_open_after_finish, None, WELL),
    Fault("cut after the finish", reset_after_finish, None, WELL),
    Fault("single bytes", single_bytes, None, "All 🐙 well"),
    Fault("CRLF", crlf, None, WELL),
    Fault("split surrogates", split_surrogates, None, "All 🐙 well\ufffd"),
]
ENDLESS = Fault("an endless reply", endless_reply, "too_large", "x" * MAX_REPLY_CHARS)
