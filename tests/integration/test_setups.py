"""System prompts, parameters and assistants: what reaches the model, and who may say so; and drafts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import HTMX, LINES, ask, new_reader, page_with
from tests.dom import Dom
from tests.fakes import Exchange, RillServer, ScriptedUpstream, rill_server

FILE = """
starters = ["What is new?", "Plan <my> week"]
[[assistants]]
name = "Translator"
icon = "T"
system_prompt = "Translate into German. A secret."
model = "small"
temperature = 0.25
max_tokens = 300
starters = ["Where is the station?"]
"""


@pytest.fixture
def settings() -> dict[str, str]:
    return {"RILL_SYSTEM_PROMPT": "Be polite.", "RILL_MODELS": "big,small"}


@pytest.fixture
async def offering(tmp_path: Path, upstream: ScriptedUpstream, settings: dict[str, str]) -> AsyncIterator[RillServer]:
    (tmp_path / "assistants.toml").write_text(FILE)
    endpoint = {"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "k"}
    file = str(tmp_path / "assistants.toml")
    async with rill_server(tmp_path, **endpoint, RILL_ASSISTANTS=file, **settings) as server:
        yield server


@pytest.fixture
async def reader(offering: RillServer) -> AsyncIterator[httpx.AsyncClient]:
    async with new_reader(offering) as client:
        yield client


def asked(upstream: ScriptedUpstream) -> list[dict[str, Any]]:
    return [exchange.body for exchange in upstream.exchanges if exchange.path.endswith("/completions")]


def systems(upstream: ScriptedUpstream) -> list[str]:
    return [message["content"] for message in asked(upstream)[-1]["messages"] if message["role"] == "system"]


def field(html: str, name: str) -> str:
    """What stands in a field of a page; a starter question's form comes before the composer."""
    found = [each for each in Dom(html).document.select(f"main [name={name}]") if each.tag != "button"][-1]
    return str(found.attrs["value"]) if found.tag == "input" else found.text.strip()


async def new_assistant(reader: httpx.AsyncClient, **fields: str) -> str:
    answer = await reader.post("/assistants", data={"name": "Editor", "system_prompt": "Improve it.", **fields})
    assert answer.status_code == 303
    return answer.headers["location"].partition("with=")[2]


async def test_a_conversation_has_a_system_prompt_and_parameters_of_its_own(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    told = await ask(reader, "Hello", system_prompt="Be brief.", temperature="0.5", max_tokens="100")
    assert systems(upstream) == ["Be polite.\n\nBe brief."]
    form = (await reader.get(f"{told.path}/setup")).text
    assert [field(form, name) for name in ("system_prompt", "temperature", "max_tokens")] == ["Be brief.", "0.5", "100"]

    answer = await reader.post(f"{told.path}/setup", data={"system_prompt": "Be long.", "temperature": ""})
    await ask(reader, "And?", told.path)

    assert (answer.status_code, answer.headers["location"]) == (303, told.path)
    assert systems(upstream) == ["Be polite.\n\nBe long."]
    sampling = [(body.get("temperature"), body.get("max_tokens")) for body in asked(upstream)]
    assert sampling == [(0.5, 100), (None, None)]


async def test_an_operators_assistant_answers_and_keeps_its_secrets(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    page = (await reader.get("/?with=translator")).text
    starters = Dom(page).document.select(".starters button")
    assert [str(each.attrs["value"]) for each in starters] == ["Where is the station?"]

    told = await ask(reader, "Where is the station?", assistant="translator")

    assert systems(upstream) == ["Be polite.\n\nTranslate into German. A secret."]
    body = asked(upstream)[-1]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("small", 0.25, 300)
    paths = ["/", "/?with=translator", "/assistants", "/assistants/translator", "/assistants/new?like=translator"]
    pages = [await reader.get(path) for path in (*paths, told.path, f"{told.path}/setup")]
    assert [answer.status_code for answer in pages] == [200, 200, 200, 404, 404, 200, 422]
    assert "T Translator" in pages[5].text
    assert not [answer for answer in pages if "A secret" in answer.text]
    changed = await reader.post(f"{told.path}/setup", data={"system_prompt": "Tell all."}, headers=LINES)
    assert changed.status_code == 422


async def test_readers_make_change_and_delete_assistants_of_their_own(
    offering: RillServer, reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    made = await new_assistant(reader, icon="E", temperature="1", starters="Fix this\nShorten that", model="small")
    assert (await reader.get(f"/assistants/{made}")).status_code == 200
    told = await ask(reader, "Fix this", assistant=made)
    assert systems(upstream) == ["Be polite.\n\nImprove it."]
    changed = await reader.post("/assistants", data={"id": made, "name": "Proofreader"})
    assert changed.headers["location"] == f"/?with={made}"
    listed = (await reader.get("/assistants")).text
    assert [link.text.strip() for link in Dom(listed).document.select("#found li > a")] == [
        "T Translator",
        "Proofreader",
    ]

    async with new_reader(offering) as other:
        strange = [
            await other.get(f"/?with={made}"),
            await other.get(f"/assistants/{made}"),
            await other.post("/assistants", data={"id": made, "name": "Mine"}),
            await other.post("/messages", data={"prompt": "x", "assistant": made}, headers=LINES),
        ]
        await other.post("/assistants", data={"drop": made})
    assert [answer.status_code for answer in strange] == [404] * 4
    assert (await reader.get(f"/?with={made}")).status_code == 200

    await reader.post("/assistants", data={"drop": made})

    assert (await reader.get(f"/?with={made}")).status_code == 404
    await ask(reader, "And this", told.path)
    assert systems(upstream) == ["Be polite.\n\nImprove it."]
    assert "E Editor" in (await reader.get(told.path)).text


async def test_a_form_that_is_refused_keeps_what_was_written(reader: httpx.AsyncClient) -> None:
    fields = {"name": "x", "system_prompt": "Keep <this>", "temperature": "9"}
    page = await reader.post("/assistants", data=fields)
    assert page.status_code == 422
    assert "from 0 to 2" in page.text
    assert field(page.text, "system_prompt") == "Keep <this>"
    assert field(page.text, "temperature") == "9"

    told = await ask(reader)
    page = await reader.post(f"{told.path}/setup", data=fields)
    assert (page.status_code, field(page.text, "system_prompt")) == (422, "Keep <this>")

    page = await reader.post("/messages", data={"prompt": "And this", **fields})
    assert page.status_code == 422
    assert field(page.text, "prompt") == "And this"
    assert field(page.text, "system_prompt") == "Keep <this>"

    page = await reader.post("/messages", data={"prompt": "And that", "assistant": "gone"})
    assert (page.status_code, field(page.text, "prompt")) == (404, "And that")


async def test_there_is_an_end_to_assistants(reader: httpx.AsyncClient) -> None:
    for number in range(50):
        await new_assistant(reader, name=f"Number {number}")

    answer = await reader.post("/assistants", data={"name": "One more"})

    assert answer.status_code == 422
    assert "Delete one first" in answer.text


async def test_a_service_with_another_name_for_the_longest_reply_is_asked_in_its_way(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    async def picky(exchange: Exchange) -> None:
        if "max_tokens" in exchange.body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            await exchange.json(400, {"error": {"message": message}})
        else:
            await exchange.reply("Fine")

    upstream.script = picky

    told = await ask(reader, "Hello", max_tokens="100")

    assert told.text == "Fine"
    assert asked(upstream)[-1]["max_completion_tokens"] == 100


@pytest.mark.parametrize("settings", [{"RILL_OWN_SETUPS": "false"}])
async def test_an_operator_can_keep_all_that_to_themselves(
    reader: httpx.AsyncClient, upstream: ScriptedUpstream
) -> None:
    told = await ask(reader, "Hello", assistant="translator")
    assert systems(upstream) == ["Translate into German. A secret."]
    plain = await ask(reader, "Hello")
    refused = [
        await reader.get("/assistants/new"),
        await reader.get(f"{plain.path}/setup"),
        await reader.post("/assistants", data={"name": "x"}),
        await reader.post(f"{plain.path}/setup", data={"system_prompt": "x"}),
        await reader.post("/messages", data={"prompt": "x", "system_prompt": "y"}, headers=LINES),
    ]
    pages = [(await reader.get(path)).text for path in ("/", "/assistants", told.path, plain.path)]

    assert [answer.status_code for answer in refused] == [422] * 5
    assert len(asked(upstream)) == 2
    assert not [page for page in pages if "system_prompt" in page or "New assistant" in page or "/setup" in page]


async def test_starter_questions_are_sent_with_one_click(reader: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    page = Dom((await reader.get("/")).text).document
    assert [button.text for button in page.select(".starters button")] == ["What is new?", "Plan <my> week"]
    fields = {str(each.attrs["name"]): str(each.attrs["value"]) for each in page.select(".starters input")}

    answer = await reader.post("/messages", data={**fields, "prompt": "What is new?"})

    assert answer.status_code == 303
    assert "You said: What is new?" in await page_with(reader, answer.headers["location"], 'data-state="finished"')


async def test_a_link_can_begin_a_prompt(reader: httpx.AsyncClient, upstream: ScriptedUpstream) -> None:
    assert field((await reader.get("/", params={"prompt": "Is <this> it?"})).text, "prompt") == "Is <this> it?"
    assert asked(upstream) == []


async def test_a_draft_survives_a_reload_until_it_is_sent(offering: RillServer, reader: httpx.AsyncClient) -> None:
    page = (await reader.get("/")).text
    written = {"prompt": "Half a", "request_id": field(page, "request_id")}
    answer = await reader.post("/draft", data=written, headers=HTMX)
    assert answer.status_code == 204
    page = (await reader.get("/")).text
    assert field(page, "prompt") == "Half a"
    sent = {"prompt": "Half a sentence", "request_id": field(page, "request_id")}
    path = (await reader.post("/messages", data=sent)).headers["location"]
    await reader.post("/draft", data={**sent, "prompt": "Half a sen"}, headers=HTMX)
    assert field((await reader.get("/")).text, "prompt") == ""

    await page_with(reader, path, 'data-state="finished"')
    await reader.post(f"{path}/draft", data={"prompt": "More", "request_id": "r"}, headers=HTMX)
    assert field((await reader.get(path)).text, "prompt") == "More"
    assert field((await reader.get(f"{path}?edit=1")).text, "prompt") == "Half a sentence"
    async with new_reader(offering) as other:
        assert (await other.post(f"{path}/draft", data={"prompt": "x"}, headers=HTMX)).status_code == 404
    too_long = await reader.post(f"{path}/draft", data={"prompt": "x" * 32_001}, headers=HTMX)
    assert too_long.status_code == 413
    assert field((await reader.get(path)).text, "prompt") == "More"
