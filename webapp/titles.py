"""Titles that the model gives to conversations, after their first reply."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import structlog

from webapp import errors
from webapp.domain import Conversation, Message, ModelKind, Role, TextChunk, TurnState
from webapp.lists import Lists
from webapp.logs import describe
from webapp.providers import ChatMessage, Provider
from webapp.text import clean, without_tags

log = structlog.get_logger()

MAX_TITLE_CHARS = 60
"""More would be cut off in a list; a model that writes more has not understood."""
ASKED_CHARS = 2000
"""How much of the prompt and of the reply a title is made of; more costs and adds nothing."""
TITLE_SECONDS = 30.0
MAX_ASKING = 8
"""How many titles are asked for at once; those beyond it keep their first words."""
REQUEST = (
    "Give the conversation above a title: two to six words, in the language of its first message, without quotation "
    "marks and without a full stop. Answer with the title only."
)
WRAPPING = " \"'“”„‚‘’«»*_#`"
"""What models put around a title all the same."""
GIVE_TITLES = {ModelKind.ENDPOINT, ModelKind.DISCOVERED, ModelKind.LOCAL_FILE}
"""The built-in model is no good at it, and an operator's own function is not asked for what it was not made for."""


class Titles:
    """Asks the model for titles, one request each, beside the turns; what fails leaves the first words in place."""

    def __init__(self, provider: Provider, lists: Lists) -> None:
        self._provider, self._lists = provider, lists
        self._asking: set[asyncio.Task[None]] = set()

    def begin(self, conversation: Conversation, reply: Message) -> None:
        """Ask for a title if this reply is a conversation's first, and whole."""
        is_first = reply.number == conversation.messages[0].number + 1 and reply.state is TurnState.FINISHED
        can = self._provider.model.kind in GIVE_TITLES
        if not (is_first and can and len(self._asking) < MAX_ASKING):
            return
        task = asyncio.create_task(self._give(conversation, reply), name="title")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def close(self) -> None:
        """Ask no more; the titles that have not come yet stay as they are."""
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking)

    async def _give(self, conversation: Conversation, reply: Message) -> None:
        facts = {"conversation": conversation.id[:6]}
        try:
            async with asyncio.timeout(TITLE_SECONDS):
                title = title_of(await self._ask(conversation.messages[0].text, reply.text))
            if title:
                await self._lists.entitle(conversation.owner, conversation.id, title)
                log.info("title.given", **facts)
        except TimeoutError:
            log.info("title.failed", cause="silent", **facts)
        except errors.RillError as error:
            log.info("title.failed", cause=error.cause, detail=error.detail, **facts)
        except Exception as error:  # noqa: BLE001  # A title is worth no turn; what is wrong is in the log.
            log.error("title.failed", cause="internal", detail=describe(error), **facts)

    async def _ask(self, prompt: str, reply: str) -> str:
        asked = [
            ChatMessage(role=Role.USER.value, content=prompt[:ASKED_CHARS]),
            ChatMessage(role=Role.ASSISTANT.value, content=reply[:ASKED_CHARS]),
            ChatMessage(role=Role.USER.value, content=REQUEST),
        ]
        text = ""
        async with aclosing(self._provider.stream(asked)) as chunks:
            async for chunk in chunks:
                text += chunk.text if isinstance(chunk, TextChunk) else ""
                if len(text) > 4 * MAX_TITLE_CHARS:
                    break
        return text


def title_of(answer: str) -> str:
    """Make a title of what a model answered; an empty one if that is none."""
    lines = without_tags(clean(answer)).strip().splitlines()
    line = " ".join(lines[0].split()) if lines else ""
    line = line.removeprefix("Title:").strip(WRAPPING).removesuffix(".").strip(WRAPPING)
    return line if len(line) <= MAX_TITLE_CHARS else ""
