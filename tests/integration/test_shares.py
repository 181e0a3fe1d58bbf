"""A link shows a conversation to whoever has it, as it was, and nothing else of it."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.clients import Gated, ask, asking, new_reader
from tests.dom import Dom
from tests.fakes import RillServer, ScriptedUpstream, rill_server

REPLY = "A *river* <b>flows</b>.\n\n```python\nprint(1)\n```"
JSON = {"Accept": "application/json"}


async def share(reader: httpx.AsyncClient, path: str) -> str:
    """Share a conversation; give the path of its public page."""
    answer = await reader.post(f"{path}/share", headers=JSON)
    assert answer.status_code == 201
    url = str(answer.json()["url"])
    assert url.startswith(str(reader.base_url))
    return httpx.URL(url).path


async def test_whoever_has_the_link_reads_it(server: RillServer, upstream: ScriptedUpstream) -> None:
    upstream.script = lambda exchange: exchange.reply(REPLY)
    async with new_reader(server) as reader, new_reader(server) as other:
        path = (await ask(reader, "Rivers & <script>")).path
        shared = await share(reader, path)
        await ask(reader, "Later, in private", path)
        answer = await other.get(shared)

    page = Dom(answer.text).document
    assert [element.text for element in page.select("h1")] == ["Rivers & <script>"]
    assert [element.text for element in page.select(".prompt .text")] == ["Rivers & <script>"]
    assert "print(1)" in page.select(".reply pre")[0].text
    properties = {str(meta.attrs["property"]): meta.attrs["content"] for meta in page.select("meta[property]")}
    assert properties["og:title"] == "Rivers & <script>"
    assert str(properties["og:url"]).endswith(shared)
    assert str(properties["og:description"]).startswith("A river <b>flows</b>.")
    assert "private" not in answer.text
    assert path.removeprefix("/c/") not in answer.text


async def test_its_page_can_do_nothing_and_knows_nobody(server: RillServer) -> None:
    async with new_reader(server) as reader, new_reader(server) as other:
        shared = await share(reader, (await ask(reader, "Mine")).path)
        answer = await other.get(shared)

    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self';")
    assert answer.headers["x-robots-tag"] == "noindex"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert not Dom(answer.text).document.select("script, form, iframe, [hx-get], [hx-post]")


async def test_a_link_is_made_brought_up_to_date_and_taken_back_by_forms(
    server: RillServer, upstream: ScriptedUpstream
) -> None:
    upstream.script = lambda exchange: exchange.reply("Yes")
    async with new_reader(server) as reader, new_reader(server) as other:
        path = (await ask(reader, "Mine")).path
        menu = Dom((await reader.get(f"/conversations/actions?of={path.removeprefix('/c/')}")).text).document
        own = str(next(link.attrs["href"] for link in menu.select(".menu a") if link.text == "Share"))
        forms = [str(form.attrs["action"]) for form in Dom((await reader.get(own)).text).document.select(".share form")]
        made = await reader.post(forms[0], follow_redirects=True)
        page = Dom(made.text).document
        shared = httpx.URL(str(page.select(".share .link a")[0].attrs["href"])).path
        before = (await other.get(shared)).text
        await ask(reader, "More of mine", path)
        update, take_back = (str(form.attrs["action"]) for form in page.select(".share form"))
        await reader.post(update)
        after = (await other.get(shared)).text
        await reader.post(take_back, follow_redirects=True)
        gone = await other.get(shared)
        again = Dom((await reader.get(own)).text).document

    assert ("More of mine" in before, "More of mine" in after) == (False, True)
    assert gone.status_code == 404
    assert "This link leads nowhere any more." in gone.text
    assert len(forms) == len(again.select(".share form")) == 1


async def test_nobody_but_its_owner_shares_a_conversation(server: RillServer) -> None:
    async with new_reader(server) as reader, new_reader(server) as other:
        path = (await ask(reader, "Mine")).path
        await share(reader, path)
        answers = [await other.get(f"{path}/share"), await other.post(f"{path}/share")]
        answers += [await other.post(f"{path}/share/end"), await other.delete(f"{path}/share")]

    assert [answer.status_code for answer in answers] == [404] * 4


async def test_a_running_reply_is_waited_for(server: RillServer, upstream: ScriptedUpstream) -> None:
    gated = Gated(upstream, "Half ", "whole")
    async with new_reader(server) as reader, asking(reader, "Mine") as (path, events):
        gated.let()
        await anext(events)
        answer = await reader.post(f"{path}/share", headers=JSON)
        gated.let_all()

    assert (answer.status_code, answer.json()["cause"]) == (409, "turn_running")


async def test_the_operator_can_say_no_and_old_links_rest_then(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    endpoint = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    async with rill_server(tmp_path, **endpoint) as server, new_reader(server) as reader:
        path = (await ask(reader, "Mine")).path
        shared = await share(reader, path)
        cookies = reader.cookies
    async with rill_server(tmp_path, **endpoint, RILL_SHARING="false") as server, new_reader(server) as reader:
        reader.cookies = cookies
        answers = [await reader.get(shared), await reader.get(f"{path}/share"), await reader.post(f"{path}/share")]
        menu = await reader.get(f"/conversations/actions?of={path.removeprefix('/c/')}")

    assert [answer.status_code for answer in answers] == [404] * 3
    assert menu.status_code == 200
    assert "/share" not in menu.text
