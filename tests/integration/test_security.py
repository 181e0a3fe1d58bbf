"""Who may ask, from where, and what every answer forbids."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.clients import EVENTS, HTMX, LINES, Gated, ask, asking, new_reader, socket
from tests.fakes import Exchange, RillServer, ScriptedUpstream, rill_server
from tests.integration.conftest import KEY

HTTPS = {"X-Forwarded-Proto": "https"}
NOT_A_PAGE = "default-src 'none'; frame-ancestors 'none'"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"RILL_ALLOWED_HOSTS": "chat.example, Other.Example", "RILL_ALLOWED_ORIGINS": "http://friend.example"}


@pytest.fixture
async def path(reader: httpx.AsyncClient) -> str:
    return (await ask(reader)).path


def directives(answer: httpx.Response) -> dict[str, list[str]]:
    policy = answer.headers["content-security-policy"]
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


def nonces(answer: httpx.Response) -> set[str]:
    return set(re.findall(r'nonce="([^"]+)"', answer.text))


ANSWERS = [
    ("GET", "/", {}),
    ("GET", "{path}", {}),
    ("GET", "{path}/fallback", HTMX),
    ("POST", "{path}/messages", HTMX),
    ("POST", "{path}/messages", LINES),
    ("POST", "{path}/messages", EVENTS),
    ("POST", "{path}/messages", {}),
    ("DELETE", "{path}/turn", {}),
    ("GET", "/model", HTMX),
    ("GET", "/nothing", {}),
    ("PUT", "/messages", {}),
    ("POST", "/messages", {"Origin": "http://evil.example"}),
    ("GET", "/", {"Host": "evil.example"}),
    ("GET", "/healthz", {}),
    ("GET", "/readyz", {}),
    ("GET", "/static/nothing", {}),
    ("HEAD", "/", {}),
]


@pytest.mark.parametrize(("method", "url", "headers"), ANSWERS)
async def test_every_answer_carries_the_headers_of_defence(
    reader: httpx.AsyncClient, path: str, method: str, url: str, headers: dict[str, str]
) -> None:
    fields = {"prompt": "Hello"} if method == "POST" else None
    answer = await reader.request(method, url.format(path=path), headers=headers, data=fields)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in answer.headers["permissions-policy"]
    assert directives(answer)["default-src"] == ["'none'"]
    assert directives(answer)["frame-ancestors"] in (["'none'"], ["'self'"])
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


async def test_a_pages_policy_allows_exactly_its_own_addresses(
    rill: RillServer, reader: httpx.AsyncClient, path: str
) -> None:
    answer = await reader.get(path)

    (nonce,) = nonces(answer)
    here, sockets = rill.url, rill.url.replace("http", "ws", 1)
    routes = [
        "/messages",
        "/messages/delete",
        "/rating",
        "/stream",
        "/fallback",
        "/branch",
        "/draft",
        "/attachments",
        "/attachments/drop",
    ]
    routes += [f"/turn/{name}" for name in ("stop", "retry", "continue")]
    policy = directives(answer)
    assert sorted(policy.pop("connect-src")) == sorted(
        [
            *(f"{here}{path}{route}" for route in routes),
            *(f"{here}/{name}" for name in ("model", "conversations", "conversations/actions", "robots.txt")),
            f"{sockets}{path}/stream",
        ]
    )
    assert policy == {
        "default-src": ["'none'"],
        "script-src": [f"'nonce-{nonce}'", "'strict-dynamic'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "manifest-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'self'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["htmx"],
    }


async def test_every_page_has_a_nonce_of_its_own_which_its_frames_carry_too(
    reader: httpx.AsyncClient, path: str
) -> None:
    found = set()
    for _ in range(3):
        page = await reader.get(path)
        (nonce,) = nonces(page)
        found.add(nonce)
        url = re.search(r'hx-ws:connect="([^"]+)"', page.text)
        assert url is not None
        async with socket(reader, url[1].replace("&amp;", "&")) as websocket:
            frame = await websocket.recv()
        assert set(re.findall(r'nonce="([^"]+)"', str(frame))) == {nonce}
        assert nonce not in url[1]

    assert len(found) == 3


async def test_an_answer_to_htmx_has_a_nonce_of_its_own(reader: httpx.AsyncClient, path: str) -> None:
    page = await reader.get(path)
    url = re.search(r'hx-get="([^"]+/fallback[^"]+)"', page.text)
    assert url is not None

    answer = await reader.get(url[1].replace("&amp;", "&"), headers=HTMX)

    assert len(nonces(answer)) == 1
    assert f"'nonce-{nonces(answer).pop()}'" in answer.headers["content-security-policy"]
    assert not nonces(answer) & nonces(page)


async def test_another_reader_gets_another_nonce_for_the_same_page_name(
    reader: httpx.AsyncClient, stranger: httpx.AsyncClient, path: str
) -> None:
    other = (await ask(stranger)).path
    frames = []
    for client, conversation in [(reader, path), (stranger, other)]:
        async with socket(client, f"{conversation}/stream?page=guessed&since=0") as websocket:
            frames.append(set(re.findall(r'nonce="([^"]+)"', str(await websocket.recv()))))

    assert not frames[0] & frames[1]


async def test_a_readers_cookie_is_kept_from_scripts_and_other_sites(reader: httpx.AsyncClient) -> None:
    (cookie,) = (await reader.get("/")).headers.get_list("set-cookie")

    name, *attributes = cookie.split("; ")
    assert re.fullmatch(r"rill_reader=[0-9a-f]{32}(\.[\w-]+){2}", name)
    assert set(attributes) == {"Path=/", "Max-Age=34560000", "HttpOnly", "SameSite=Lax"}
    assert "set-cookie" not in (await reader.get("/")).headers


async def test_behind_https_the_cookie_is_for_https_and_this_host_only(reader: httpx.AsyncClient) -> None:
    (cookie,) = (await reader.get("/", headers=HTTPS)).headers.get_list("set-cookie")

    assert cookie.startswith("__Host-rill_reader=")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} < set(cookie.split("; "))
    assert "Domain" not in cookie
    page = await reader.get("/", headers=HTTPS)
    assert directives(page)["connect-src"][0].startswith("https://")


async def test_a_proxy_that_is_not_trusted_is_not_believed(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    environ = {"OPENAI_BASE_URL": upstream.base_url, "RILL_TRUSTED_PROXIES": "203.0.113.7"}
    async with rill_server(tmp_path, **environ) as server, new_reader(server) as reader:
        answer = await reader.get("/", headers=HTTPS)

    assert answer.headers["set-cookie"].startswith("rill_reader=")


@pytest.mark.parametrize("how", ["no signature", "another's signature", "another reader", "another secret", "rubbish"])
async def test_a_forged_cookie_makes_a_new_reader(
    rill: RillServer, reader: httpx.AsyncClient, stranger: httpx.AsyncClient, path: str, how: str
) -> None:
    value, other = reader.cookies["rill_reader"], stranger.cookies["rill_reader"]
    id_, signed_at, signature = value.split(".")
    forged = {
        "no signature": id_,
        "another's signature": f"{id_}.{signed_at}.{other.split('.')[2]}",
        "another reader": f"{'0' * 32}.{signed_at}.{signature}",
        "another secret": f"{id_}.{signed_at}.{'A' * len(signature)}",
        "rubbish": '".%00é; rill_reader=x',
    }[how]
    async with new_reader(rill) as forger:
        answer = await forger.get(path, headers=[(b"cookie", f"rill_reader={forged}".encode())])

    assert answer.status_code == 404
    assert answer.headers["set-cookie"].startswith("rill_reader=")
    assert id_ not in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "[::1]:8000", "192.168.1.7", "localhost", "LOCALHOST:8000", "app.localhost",
             "my-server", "chat.example", "CHAT.example:443", "chat.example.", "other.example"]
)  # fmt: skip
async def test_names_that_cannot_be_rebound_and_listed_names_are_answered(reader: httpx.AsyncClient, host: str) -> None:
    assert (await reader.get("/", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "chat.example.evil.example", "127.0.0.1.evil.example", "localhost.evil.example",
             "evil.example:8000", "chat.example@evil.example", "a b", "x/y", "chat.example:port", "[::1", "[:::]",
             "chat.example, evil.example", "evil.example#.localhost", "'\"><script>", ""]
)  # fmt: skip
async def test_other_names_are_refused(reader: httpx.AsyncClient, host: str) -> None:
    answer = await reader.get("/", headers={"Host": host})

    assert answer.status_code == 400
    assert host == "" or host not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Referer": "http://evil.example/", "Origin": "http://friend.example.evil.example"},
    ],
)
async def test_other_sites_may_change_nothing(
    reader: httpx.AsyncClient, path: str, method: str, headers: dict[str, str], model: ScriptedUpstream
) -> None:
    url = {"POST": f"{path}/messages", "DELETE": f"{path}/turn", "PUT": "/messages"}[method]
    fields = {"prompt": "Forged"} if method == "POST" else None
    answer = await reader.request(method, url, data=fields, headers=headers)

    assert answer.status_code == 403
    assert len(model.exchanges) == 1
    assert "Forged" not in (await reader.get(path)).text


async def test_a_program_is_refused_in_its_own_form(reader: httpx.AsyncClient) -> None:
    accept = {"Accept": "application/json"}
    for headers, status, cause in (
        ({"Host": "evil.example"}, 400, "host_not_allowed"),
        ({"Origin": "http://evil.example"}, 403, "origin_not_allowed"),
    ):
        answer = await reader.post("/messages", json={"prompt": "Hi"}, headers={**headers, **accept})

        assert (answer.status_code, answer.json()["cause"]) == (status, cause)


@pytest.mark.parametrize("origin", ["own", "own, https", "http://friend.example", None])
async def test_own_pages_listed_origins_and_programs_may_post(
    rill: RillServer, reader: httpx.AsyncClient, path: str, origin: str | None
) -> None:
    asked = {"own": rill.url, "own, https": rill.url.replace("http", "https", 1)}.get(origin or "", origin)
    headers = {"Origin": asked} if asked else {}

    answer = await reader.post(f"{path}/messages", data={"prompt": "Mine"}, headers=headers)

    assert answer.status_code == 303


async def test_a_browser_that_says_that_our_own_page_asks_may_post(reader: httpx.AsyncClient, path: str) -> None:
    for site in ["same-origin", "none"]:
        headers = {**LINES, "Sec-Fetch-Site": site}
        answer = await reader.post(f"{path}/messages", data={"prompt": "Mine"}, headers=headers)

        assert answer.status_code == 200


async def raw(server: RillServer, request: bytes) -> bytes:
    """Send bytes and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    answer = b""
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            while piece := await reader.read(65_536):
                answer += piece
    except ConnectionError:
        pass  # Closed while we were still writing, which is an answer too.
    finally:
        writer.close()
    return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Large: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-Many: x\r\n" * 20_000 + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_a_head_that_is_too_large_or_no_http_is_refused(
    rill: RillServer, reader: httpx.AsyncClient, request_: bytes
) -> None:
    answer = await raw(rill, request_)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert (await reader.get("/healthz")).status_code == 200


async def test_header_values_with_line_ends_never_reach_an_answer(rill: RillServer) -> None:
    answer = await raw(
        rill, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: a\rSet-Cookie: b=c\r\nConnection: close\r\n\r\n"
    )

    assert b"b=c" not in answer


class TestCanary:
    """No prompt, no reply and no key in any log, at any level, whatever happens."""

    WORDS = ("canary-prompt-4711", "canary-reply-4712")

    @pytest.fixture
    async def talkative(self, tmp_path: Path, upstream: ScriptedUpstream) -> AsyncIterator[RillServer]:
        environ = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": KEY, "RILL_LOG_LEVEL": "debug"}
        async with rill_server(tmp_path, **environ) as server:
            yield server

    async def test_no_log_holds_a_prompt_a_reply_or_a_key(
        self, talkative: RillServer, upstream: ScriptedUpstream
    ) -> None:
        prompt, reply = self.WORDS

        async def well(exchange: Exchange) -> None:
            await exchange.reply(f"{reply} ", exchange.prompt)

        async def broken(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.chunk(reply)
            await exchange.event({"error": {"message": f"{KEY} {exchange.prompt}"}})

        async def refused(exchange: Exchange) -> None:
            await exchange.json(400, {"error": {"message": f"{KEY} {exchange.prompt}"}})

        async with new_reader(talkative) as reader:
            for script in [well, broken, refused]:
                upstream.script = script
                told = await ask(reader, prompt)
                await reader.post(f"{told.path}/messages", data={"prompt": prompt}, headers=EVENTS)
                await reader.post(f"{told.path}/messages", files={"prompt": (None, prompt)}, headers=LINES)
                await reader.post("/messages", data={"prompt": prompt}, headers=HTMX)
                await reader.get(told.path)
                async with socket(reader, f"{told.path}/stream") as chat:
                    await chat.send(f'{{"prompt": "{prompt}"}}')
                    while "data-state" not in (frame := await chat.recv()) or "running" in frame:
                        pass
                    await chat.send(f"{prompt} is no JSON")
                    await chat.recv()
                async with socket(reader, "/chat") as tutorial:
                    await tutorial.send(f'{{"prompt": "{prompt}"}}')
                    while '"chunk"' in await tutorial.recv():
                        pass
            await reader.post("/messages", data={"prompt": prompt * 5000}, headers=LINES)
            await reader.post("/messages", content=prompt, headers={"Content-Type": "application/json"})
            await reader.get(f"/?{prompt}")
            gated = Gated(upstream, reply, reply)
            async with asking(reader, prompt) as (path, events):
                gated.let()
                await anext(events)
                await reader.delete(f"{path}/turn")
            cookie = reader.cookies["rill_reader"]
        await talkative.end()

        assert "turn.ended" in talkative.output
        assert "level=debug" in talkative.output
        for secret in [*self.WORDS, KEY, cookie, "Traceback"]:
            assert secret not in talkative.output


@pytest.mark.parametrize("made_up", ["%C4%80", "x;script-src%20*", "%0D%0Aa:b", "%F0%9F%8C%8D"])
async def test_an_address_that_somebody_made_up_changes_no_header(reader: httpx.AsyncClient, made_up: str) -> None:
    answer = await reader.post(f"/c/{made_up}/turn/stop", headers={"HX-Request": "true"})

    assert answer.status_code == 404
    assert "script-src *" not in answer.headers["content-security-policy"]
    assert len(directives(answer)["script-src"]) == 2
