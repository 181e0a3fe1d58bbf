"""Turns: one prompt each, and the work that yields its reply.

A turn is a task of the server's, not of a connection's: it runs to its end whoever follows it (see `webapp.running`).
A conversation has one turn at a time: a second prompt meanwhile is refused with a sentence and stays in the composer,
because readers mostly want to change it once they have seen the reply, or to stop that first.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType

import structlog

from webapp import errors
from webapp.attachments import Attachments, as_text
from webapp.brokers import Broker
from webapp.domain import (
    NOTHING,
    AttachmentId,
    AttachmentKind,
    BegunTurn,
    Content,
    Conversation,
    ConversationId,
    ListChange,
    ListNews,
    Message,
    ReaderId,
    RequestId,
    Role,
    Setup,
    TurnState,
)
from webapp.providers import ChatMessage, ContentPart, Provider
from webapp.rendering import Renderer
from webapp.replies import ReplyRenderer
from webapp.running import RunningTurn, TurnLimits, TurnParts
from webapp.stores import Store
from webapp.text import clean, without_tags

log = structlog.get_logger()

CHECKPOINT_SECONDS = 1.0
"""How often running replies are stored: what a crash may cost."""
CHECKPOINT_CHARS = 2048
"""How much a reply may grow before it is stored sooner."""
LEAST_CHECKPOINT_SECONDS = 0.05
"""The least time between two transactions, however fast models write; each takes what all of them have written."""
SIGN_OF_LIFE_SECONDS = 3.0
SILENT_TURN_SECONDS = 12.0
"""A turn without a sign of life for this long died with its process; four times the interval bears a slow disk."""

NO_CONTENTS: Mapping[AttachmentId, Content] = MappingProxyType({})

CONTINUE = "Continue your last answer exactly where it stopped. Do not repeat any of it, and do not comment on this."
"""What the model is told after a cut reply; only few services go on from an assistant's message by themselves."""


class Turns:
    """Begins, follows up and ends turns; knows those that run in this process.

    `on_end` is told of each reply that has ended and is stored, and of the conversation as it was when that began; with
    a reply that another process left behind, of nothing but this reply in it.
    """

    def __init__(
        self,
        store: Store,
        broker: Broker,
        provider: Provider,
        renderer: Renderer,
        replies: ReplyRenderer,
        limits: TurnLimits,
        attachments: Attachments,
        system: str = "",
        on_end: Callable[[Conversation, Message], None] | None = None,
    ) -> None:
        self.store, self.broker = store, broker
        self.replies, self.limits = replies, limits
        self._parts = TurnParts(store, broker, provider, renderer, replies, limits)
        self._attachments, self._system, self._on_end = attachments, system, on_end
        self._running: dict[ConversationId, RunningTurn] = {}
        self._beginnings: set[asyncio.Task[BegunTurn]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._much_written = asyncio.Event()
        self._is_ending = False

    def count_running(self, owner_prefix: str) -> int:
        """Count the replies that are being written here to readers whose ids begin so."""
        owners = (turn.begun.conversation.owner for turn in self._running.values())
        return sum(owner.startswith(owner_prefix) for owner in owners)

    @property
    def is_ending(self) -> bool:
        """Whether new turns are refused, because the server was told to stop."""
        return self._is_ending

    async def open(self, silent_seconds: float = SILENT_TURN_SECONDS) -> None:
        """Interrupt the turns of a process that died, and begin to keep checkpoints.

        `silent_seconds` of 0 is for a store that only this process uses: every running turn in it is then a dead one.
        """
        await self._interrupt_silent(silent_seconds)
        self._keeper = asyncio.create_task(self._keep(), name="checkpoints")

    async def drain(self, grace_seconds: float) -> None:
        """Begin no more turns; let running ones end by themselves for a while, then interrupt them with their text."""
        self._is_ending = True
        if self._beginnings:
            await asyncio.wait(self._beginnings)
        if tasks := self._tasks():
            log.info("turns.draining", running=len(tasks), grace_seconds=grace_seconds)
            await asyncio.wait(tasks, timeout=grace_seconds)
        for turn in list(self._running.values()):
            turn.cut(TurnState.INTERRUPTED, "interrupted")
            turn.give_up_saving()
        if tasks := self._tasks():
            await asyncio.wait(tasks)

    async def close(self, grace_seconds: float) -> None:
        """Drain, and keep no more checkpoints."""
        await self.drain(grace_seconds)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def begin(
        self,
        owner: ReaderId,
        conversation_id: ConversationId | None,
        prompt: str,
        request_id: RequestId,
        *,
        edits: int | None = None,
        model: str | None = None,
        setup: Setup | None = None,
        attached: Sequence[AttachmentId] = (),
        flush_seconds: float | None = None,
    ) -> BegunTurn:
        """Store a prompt and begin the turn that answers it; `None` opens a new conversation, with the `setup` given.

        With `edits`, the prompt stands beside the one of that number, as another branch. A prompt that was stored
        before begins nothing. `model` is one of those that the provider offers; without it, the conversation's stays,
        or the usual one. What is `attached` has waited for this prompt. `flush_seconds` overrides the limits' value for
        this turn. Raises `PromptEmpty`, `PromptTooLong`, `ModelNotOffered`, `ServerEnding`, and whatever the store's
        methods do.
        """
        prompt = self._accept(prompt)
        self._require_offered(model)
        if conversation_id is None:
            setup = _with_model(setup or Setup(), model)
            store = partial(self.store.create_conversation, owner, prompt, request_id, setup, attached)
        else:
            conversation = (owner, conversation_id)
            store = partial(self.store.begin_turn, *conversation, prompt, request_id, edits, model, attached)
        return await self._to_its_end(self._begin(store, flush_seconds))

    async def retry(
        self,
        owner: ReaderId,
        conversation_id: ConversationId,
        number: int,
        *,
        continues: bool = False,
        model: str | None = None,
    ) -> BegunTurn:
        """Begin another reply beside reply `number`, by another model if one is given, or go on from its text.

        Raises `ModelNotOffered`, and as the store does.
        """
        self._require_offered(model)
        return await self._to_its_end(self._retry(owner, conversation_id, number, continues, model))

    async def show_branch(self, owner: ReaderId, conversation_id: ConversationId, number: int) -> None:
        """Show the newest branch that message `number` is on, in every page. Raises as `Store.show_branch` does."""
        conversation = await self.store.show_branch(owner, conversation_id, number)
        self.broker.publish(conversation_id, self._parts.renderer.branch_shown(conversation))

    async def delete_message(self, owner: ReaderId, conversation_id: ConversationId, number: int) -> bool:
        """Delete a message with what follows it, in every page; tell whether anything is left of the conversation.

        Raises as `Store.delete_message` does.
        """
        conversation = await self.store.delete_message(owner, conversation_id, number)
        if conversation is not None:
            self.broker.publish(conversation_id, self._parts.renderer.branch_shown(conversation))
        return conversation is not None

    async def stop(self, owner: ReaderId, conversation_id: ConversationId) -> None:
        """End the running turn at its model and wait until it has ended; what was written is kept.

        Raises `ConversationNotFound`, and `TurnNotRunning` when there is nothing to stop.
        """
        await self.store.conversation(owner, conversation_id, NOTHING)
        turn = self._running.get(conversation_id)
        if turn is None or turn.has_ended or turn.task is None:
            raise errors.TurnNotRunning
        turn.cut(TurnState.STOPPED)
        await asyncio.wait([turn.task])

    async def rendered(self, conversation: Conversation) -> Conversation:
        """Give a conversation whose replies all have a rendering of this version, but for one that runs here."""
        messages = [await self._rendered(conversation.id, message) for message in conversation.messages]
        return replace(conversation, messages=tuple(messages))

    def running(self, conversation_id: ConversationId) -> RunningTurn | None:
        return self._running.get(conversation_id)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [turn.task for turn in self._running.values() if turn.task is not None]

    async def _rendered(self, conversation_id: ConversationId, message: Message) -> Message:
        is_current = message.rendering is not None and message.rendering.version == self.replies.version
        turn = self.running(conversation_id)
        runs_here = turn is not None and turn.reply.number == message.number
        if message.role is not Role.ASSISTANT or is_current or runs_here:
            return message
        rendering = await self.replies.render(message.number, message.text)
        if not message.is_running:
            try:
                await self.store.keep_rendering(conversation_id, message.number, rendering)
            except errors.StoreUnavailable as error:
                log.warning("reply.rendering_not_kept", detail=error.detail, conversation=conversation_id[:6])
        return replace(message, rendering=rendering)

    async def _to_its_end(self, beginning: Coroutine[None, None, BegunTurn]) -> BegunTurn:
        """Begin a turn although its caller leaves meanwhile: what is stored as running has to be run."""
        if self._is_ending:
            beginning.close()
            raise errors.ServerEnding
        task = asyncio.create_task(beginning)
        self._beginnings.add(task)
        task.add_done_callback(self._beginnings.discard)
        return await asyncio.shield(task)

    async def _begin(self, store: Callable[[], Awaitable[BegunTurn]], flush_seconds: float | None) -> BegunTurn:
        begun = await store()
        if not begun.is_repeat:
            self._start(begun, None, flush_seconds)
        return begun

    async def _retry(
        self, owner: ReaderId, conversation_id: ConversationId, number: int, continues: bool, model: str | None
    ) -> BegunTurn:
        begun = await self.store.retry_turn(owner, conversation_id, number, continues=continues)
        self._start(begun, model)
        return begun

    def _accept(self, prompt: str) -> str:
        prompt = without_tags(clean(prompt)).strip()
        if not prompt:
            raise errors.PromptEmpty
        if len(prompt) > self.limits.max_prompt_chars:
            raise errors.PromptTooLong(len(prompt), self.limits.max_prompt_chars)
        return prompt

    def _require_offered(self, model: str | None) -> None:
        if model is not None and model not in {option.name for option in self._parts.provider.offered}:
            raise errors.ModelNotOffered

    def _start(self, begun: BegunTurn, model: str | None, flush_seconds: float | None = None) -> None:
        conversation = begun.conversation
        parameters = conversation.setup.parameters
        offered = {option.name for option in self._parts.provider.offered}
        # What an operator no longer offers is not asked any more, whoever chose it once.
        chosen = parameters.model if parameters.model in offered else None
        parameters = replace(parameters, model=model or chosen)
        flush = self.limits.flush_seconds if flush_seconds is None else flush_seconds
        turn = RunningTurn(
            *(self._parts, begun, partial(self._messages, conversation), flush),
            parameters=parameters,
            on_growth=self._note_growth,
            on_end=self._forget,
        )
        self._running[conversation.id] = turn
        turn.start()
        self.broker.announce(conversation.owner, ListNews(ListChange.CAME, conversation.listed))
        log.info(
            "turn.began",
            conversation=conversation.id[:6],
            reply=begun.reply.number,
            messages=len(conversation.messages),
        )

    async def _messages(self, conversation: Conversation) -> list[ChatMessage]:
        sees_images = self._parts.provider.sees_images
        contents = await self._attachments.told(conversation, are_images_seen=sees_images)
        return model_messages(conversation, self._system, contents)

    def _note_growth(self, turn: RunningTurn) -> None:
        if turn.unkept_chars >= CHECKPOINT_CHARS:
            self._much_written.set()

    def _forget(self, turn: RunningTurn, ended: Message) -> None:
        self._running.pop(turn.conversation_id, None)
        if self._on_end is not None:
            self._on_end(turn.begun.conversation, ended)

    async def _keep(self) -> None:
        """Store what running turns have written, and notice those of processes that died."""
        loop = asyncio.get_running_loop()
        next_look = loop.time() + SIGN_OF_LIFE_SECONDS
        while True:
            await asyncio.sleep(LEAST_CHECKPOINT_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECKPOINT_SECONDS - LEAST_CHECKPOINT_SECONDS):
                    await self._much_written.wait()
            self._much_written.clear()
            try:
                await self._checkpoint(loop.time())
                if loop.time() >= next_look:
                    next_look = loop.time() + SIGN_OF_LIFE_SECONDS
                    await self._interrupt_silent(SILENT_TURN_SECONDS)
            except errors.StoreUnavailable as error:
                log.error("turns.checkpoint_failed", detail=error.detail)

    async def _checkpoint(self, now: float) -> None:
        """Store all that was written since the last time, in one transaction."""
        found = [(turn, turn.checkpoint(now, SIGN_OF_LIFE_SECONDS)) for turn in self._running.values()]
        due = [(turn, checkpoint) for turn, checkpoint in found if checkpoint is not None]
        if due:
            await self.store.checkpoint([checkpoint for _, checkpoint in due])
        for turn, checkpoint in due:
            turn.is_kept(checkpoint, now)

    async def _interrupt_silent(self, silent_seconds: float) -> None:
        since = datetime.now(UTC) - timedelta(seconds=silent_seconds)
        for listed, reply in await self.store.interrupt_turns(since):
            log.warning("turn.interrupted", conversation=listed.id[:6], reply=reply.number)
            self.broker.publish(listed.id, self._parts.renderer.turn_lost(reply))
            self.broker.announce(listed.owner, ListNews(ListChange.CAME, listed))
            if self._on_end is not None:
                self._on_end(Conversation(listed.id, listed.owner, listed.title, listed.updated_at, (reply,)), reply)


def _with_model(setup: Setup, model: str | None) -> Setup:
    return setup if model is None else replace(setup, parameters=replace(setup.parameters, model=model))


def model_messages(
    conversation: Conversation, system: str, contents: Mapping[AttachmentId, Content] = NO_CONTENTS
) -> list[ChatMessage]:
    """Make what the model is given: the system prompts, then the showing branch up to the newest prompt.

    What the operator tells every model stands before what this conversation's is told. Of attachments, those are told
    whose `contents` are given.

    Replies without text (they failed at once) are left out; models take them for an answer. A reply that is to be
    continued comes last, with the request to go on from it.
    """
    system = "\n\n".join(filter(None, (system, conversation.setup.system_prompt)))
    told = [ChatMessage(role=Role.SYSTEM.value, content=system)] if system else []
    told += [
        ChatMessage(role=message.role.value, content=_content(message, contents))
        for message in conversation.messages
        if message.text
    ]
    if conversation.running is not None and conversation.running.text:
        told.append(ChatMessage(role=Role.USER.value, content=CONTINUE))
    return told


def _content(message: Message, contents: Mapping[AttachmentId, Content]) -> str | list[ContentPart]:
    """Give a message with what was attached to it: texts stand before its own, images in parts of their own."""
    attached = [contents[each.id] for each in message.attachments if each.id in contents]
    images = [each for each in attached if each.attachment.kind is AttachmentKind.IMAGE]
    text = as_text([each for each in attached if each not in images]) + message.text
    if not images:
        return text
    parts = [ContentPart(type="image_url", image_url={"url": _data_url(image)}) for image in images]
    return [*parts, ContentPart(type="text", text=text)]


def _data_url(content: Content) -> str:
    return f"data:{content.attachment.media_type};base64,{b64encode(content.body).decode()}"
