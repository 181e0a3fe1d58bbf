"""Turns: one prompt each, and the work that yields its reply.

A turn is a task of the server's, not of a connection's: it runs to its end whoever follows it. Each of its ends passes
through `RunningTurn._end`, which stores the whole text first and tells the readers after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from webapp import errors
from webapp.brokers import Broker
from webapp.domain import (
    BegunTurn,
    Conversation,
    ConversationId,
    FinishChunk,
    FinishReason,
    Message,
    Position,
    ReaderId,
    RequestId,
    Role,
    TextChunk,
    TurnState,
)
from webapp.markdown import Op
from webapp.providers import ChatMessage, Provider
from webapp.rendering import Renderer
from webapp.replies import ReplyRenderer, steps
from webapp.stores import Store
from webapp.text import TextCleaner, clean

log = structlog.get_logger()

CHECKPOINT_SECONDS = 1.0
"""How often a running reply is stored: what a crash may cost."""
SIGN_OF_LIFE_SECONDS = 5.0
SILENT_TURN_SECONDS = 20.0
"""A turn without a sign of life for this long died with its process; four times the interval bears a slow disk."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Bounds of a turn. `flush_seconds` is the least time between two fragments; lengths are in characters."""

    flush_seconds: float = 0.04
    max_prompt_chars: int = 32_000
    max_reply_chars: int = 1_000_000


class RunningTurn:
    """The work on one reply: pulls chunks, keeps the text, publishes fragments."""

    def __init__(self, turns: Turns, begun: BegunTurn, messages: Sequence[ChatMessage], flush_seconds: float) -> None:
        self._turns = turns
        self._html = turns.replies.begin(begun.reply.number, self._flush_soon)
        self._messages = messages
        self._flush_seconds = flush_seconds
        self.conversation_id: ConversationId = begun.conversation.id
        self.reply: Message = begun.reply
        self._index = 0
        self._parts: list[str] = []
        self._chars = 0
        self._unsent: list[str] = []
        self._has_ended = False
        self._cleaner = TextCleaner()
        self._flush_timer: asyncio.TimerHandle | None = None
        self._last_flush = float("-inf")
        self._cut: tuple[TurnState, str | None] | None = None
        self._pump: asyncio.Task[FinishReason | None] | None = None
        self.checkpointed_chars = 0
        self.last_sign_of_life = 0.0
        self.task = asyncio.create_task(self._run(), name=f"turn {self.reply.number}")

    @property
    def text(self) -> str:
        """The text that was published so far; what waits for the next flush is not in it."""
        self._parts = ["".join(self._parts)]
        return self._parts[0]

    @property
    def showing(self) -> Message:
        """The reply as it was published so far."""
        return replace(self.reply, text=self.text, rendering=self._html.rendering())

    @property
    def position(self) -> Position:
        return Position(self.reply.number, self._index)

    def cut(self, state: TurnState, cause: str | None = None) -> None:
        """End the turn early; what was written is kept. The upstream connection closes before the turn ends."""
        if self._cut is None:
            self._cut = (state, cause)
        if self._pump is not None:
            self._pump.cancel()

    async def _run(self) -> None:
        self._pump = asyncio.create_task(self._read_chunks(), name=f"chunks {self.reply.number}")
        if self._cut is not None:
            self._pump.cancel()
        await asyncio.wait([self._pump])
        state, cause = self._outcome(self._pump)
        await self._end(state, cause)

    async def _read_chunks(self) -> FinishReason | None:
        async with aclosing(self._turns.provider.stream(self._messages)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, FinishChunk):
                    return chunk.reason
                await self._take(chunk)
                if self._chars >= self._turns.limits.max_reply_chars:
                    self._cut = (TurnState.FINISHED, "too_large")
                    return None
        return None

    async def _take(self, chunk: TextChunk) -> None:
        text = self._cleaner.feed(chunk.text)[: self._turns.limits.max_reply_chars - self._chars]
        for number, step in enumerate(steps(text)):
            if number:
                # One chunk may be a whole book: others have their turn before the next of its pages.
                await asyncio.sleep(0)
            self._add(step)

    def _add(self, text: str) -> None:
        self._chars += len(text)
        self._unsent.append(text)
        self._html.feed(text)
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Publish what has come: at once, or when the least time since the last time has passed."""
        if self._flush_timer is not None or self._has_ended:
            return
        loop = asyncio.get_running_loop()
        due = self._last_flush + self._flush_seconds
        if loop.time() >= due:
            self._flush()
        else:
            self._flush_timer = loop.call_at(due, self._flush)

    def _flush(self) -> None:
        self._flush_timer = None
        self._last_flush = asyncio.get_running_loop().time()
        self._publish(self._html.flush())

    def _publish(self, ops: Sequence[Op]) -> None:
        text, self._unsent = "".join(self._unsent), []
        if not text and not ops:
            return
        self._parts.append(text)
        self._index += 1
        fragment = self._turns.renderer.reply_progress(self.reply.number, self._index, ops, text)
        self._turns.broker.publish(self.conversation_id, fragment)

    def _outcome(self, pump: asyncio.Task[FinishReason | None]) -> tuple[TurnState, str | None]:
        if pump.cancelled():
            return self._cut or (TurnState.INTERRUPTED, "interrupted")
        error = pump.exception()
        if isinstance(error, errors.RillError):
            log.warning("turn.failed", cause=error.cause, detail=error.detail, **self._facts())
            return TurnState.FAILED, error.cause
        if error is not None:
            # The message may quote the prompt, so only the type and the place are logged.
            log.error("turn.failed", cause="internal", detail=_describe(error), **self._facts())
            return TurnState.FAILED, "internal"
        return self._cut or self._finished(pump.result())

    def _finished(self, reason: FinishReason | None) -> tuple[TurnState, str | None]:
        if reason is None:
            cause = errors.BrokenReply.cause if self._chars else errors.EmptyReply.cause
            return TurnState.FAILED, cause
        if reason is FinishReason.STOP:
            return (TurnState.FINISHED, None) if self._chars else (TurnState.FAILED, errors.EmptyReply.cause)
        return TurnState.FINISHED, reason.value

    async def _end(self, state: TurnState, cause: str | None) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        if last := self._cleaner.end():
            self._unsent.append(last)
            self._html.feed(last)
        self._has_ended = True
        self._publish(self._html.close())
        await self._html.highlighted()
        ops = self._html.flush()
        ended = replace(self.showing, state=state, cause=cause)
        try:
            await self._turns.store.end_turn(self.conversation_id, ended)
        except errors.StoreUnavailable as error:
            log.error("turn.not_saved", detail=error.detail, **self._facts())
        # No await between these two: a snapshot sees the turn either running or ended.
        self._turns.forget(self)
        self._turns.broker.publish(self.conversation_id, self._turns.renderer.turn_ended(ended, ops))
        log.info("turn.ended", state=state.value, cause=cause, chars=self._chars, **self._facts())

    def _facts(self) -> dict[str, object]:
        return {"conversation": self.conversation_id[:6], "reply": self.reply.number}


class Turns:
    """Begins, follows up and ends turns; knows those that run in this process."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        provider: Provider,
        renderer: Renderer,
        replies: ReplyRenderer,
        limits: TurnLimits,
        system: str = "",
    ) -> None:
        self.store, self.broker, self.provider = store, broker, provider
        self.renderer, self.replies = renderer, replies
        self.limits = limits
        self._system = system
        self._running: dict[ConversationId, RunningTurn] = {}
        self._beginnings: set[asyncio.Task[BegunTurn]] = set()
        self._keeper: asyncio.Task[None] | None = None

    async def open(self, silent_seconds: float = SILENT_TURN_SECONDS) -> None:
        """Interrupt the turns of a process that died, and begin to keep checkpoints.

        `silent_seconds` of 0 is for a store that only this process uses: every running turn in it is then a dead one.
        """
        await self._interrupt_silent(silent_seconds)
        self._keeper = asyncio.create_task(self._keep(), name="checkpoints")

    async def close(self, grace_seconds: float) -> None:
        """Let running turns end by themselves for a while, then interrupt them; their text is kept."""
        if self._beginnings:
            await asyncio.wait(self._beginnings)
        tasks = [turn.task for turn in self._running.values()]
        if tasks:
            log.info("turns.draining", running=len(tasks), grace_seconds=grace_seconds)
            _, pending = await asyncio.wait(tasks, timeout=grace_seconds)
            for turn in list(self._running.values()):
                turn.cut(TurnState.INTERRUPTED, "interrupted")
            if pending:
                await asyncio.wait(pending)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def begin(
        self,
        owner: ReaderId,
        conversation_id: ConversationId | None,
        prompt: str,
        request_id: RequestId,
        flush_seconds: float | None = None,
    ) -> BegunTurn:
        """Store a prompt and begin the turn that answers it; `None` opens a new conversation.

        A prompt that was stored before begins nothing. `flush_seconds` overrides the limits' value for this turn.
        Raises `PromptEmpty`, `PromptTooLong`, and whatever `Store.begin_turn` does.
        """
        prompt = self._accept(prompt)
        return await self._to_its_end(self._begin(owner, conversation_id, prompt, request_id, flush_seconds))

    async def retry(self, owner: ReaderId, conversation_id: ConversationId, number: int) -> BegunTurn:
        """Begin another reply in the place of reply `number`. Raises what `Store.retry_turn` does."""
        return await self._to_its_end(self._retry(owner, conversation_id, number))

    async def stop(self, owner: ReaderId, conversation_id: ConversationId) -> None:
        """End the running turn at its model and wait until it has ended; what was written is kept.

        Raises `ConversationNotFound`, and `TurnNotRunning` when there is nothing to stop.
        """
        await self.store.conversation(owner, conversation_id)
        turn = self._running.get(conversation_id)
        if turn is None:
            raise errors.TurnNotRunning
        turn.cut(TurnState.STOPPED)
        await asyncio.wait([turn.task])

    async def rendered(self, conversation: Conversation) -> Conversation:
        """Give a conversation whose replies all have a rendering of this version, but for one that runs here."""
        messages = [await self._rendered(conversation.id, message) for message in conversation.messages]
        return replace(conversation, messages=tuple(messages))

    def running(self, conversation_id: ConversationId) -> RunningTurn | None:
        return self._running.get(conversation_id)

    def forget(self, turn: RunningTurn) -> None:
        self._running.pop(turn.conversation_id, None)

    async def _rendered(self, conversation_id: ConversationId, message: Message) -> Message:
        is_current = message.rendering is not None and message.rendering.version == self.replies.version
        if message.role is not Role.ASSISTANT or is_current or (message.is_running and self.running(conversation_id)):
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
        task = asyncio.create_task(beginning)
        self._beginnings.add(task)
        task.add_done_callback(self._beginnings.discard)
        return await asyncio.shield(task)

    async def _begin(
        self,
        owner: ReaderId,
        conversation_id: ConversationId | None,
        prompt: str,
        request_id: RequestId,
        flush_seconds: float | None,
    ) -> BegunTurn:
        if conversation_id is None:
            begun = await self.store.create_conversation(owner, prompt, request_id)
        else:
            begun = await self.store.begin_turn(owner, conversation_id, prompt, request_id)
        if not begun.is_repeat:
            self._start(begun, flush_seconds)
        return begun

    async def _retry(self, owner: ReaderId, conversation_id: ConversationId, number: int) -> BegunTurn:
        old = (await self.store.conversation(owner, conversation_id)).messages[-1]
        begun = await self.store.retry_turn(owner, conversation_id, number)
        self._start(begun, replaced=old)
        return begun

    def _accept(self, prompt: str) -> str:
        prompt = clean(prompt).strip()
        if not prompt:
            raise errors.PromptEmpty
        if len(prompt) > self.limits.max_prompt_chars:
            raise errors.PromptTooLong(len(prompt), self.limits.max_prompt_chars)
        return prompt

    def _start(self, begun: BegunTurn, flush_seconds: float | None = None, replaced: Message | None = None) -> None:
        conversation = begun.conversation
        messages = model_messages(conversation, self._system)
        flush = self.limits.flush_seconds if flush_seconds is None else flush_seconds
        turn = RunningTurn(self, begun, messages, flush)
        self.broker.publish(conversation.id, self.renderer.turn_began(begun.prompt, turn.showing, replaced))
        self._running[conversation.id] = turn
        log.info("turn.began", conversation=conversation.id[:6], reply=begun.reply.number, messages=len(messages))

    async def _keep(self) -> None:
        """Store what running turns have written, and notice those of processes that died."""
        loop = asyncio.get_running_loop()
        next_look = loop.time() + SIGN_OF_LIFE_SECONDS
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            try:
                for turn in list(self._running.values()):
                    await self._checkpoint(turn, loop.time())
                if loop.time() >= next_look:
                    next_look = loop.time() + SIGN_OF_LIFE_SECONDS
                    await self._interrupt_silent(SILENT_TURN_SECONDS)
            except errors.StoreUnavailable as error:
                log.error("turns.checkpoint_failed", detail=error.detail)

    async def _checkpoint(self, turn: RunningTurn, now: float) -> None:
        text = turn.text
        if len(text) == turn.checkpointed_chars and now - turn.last_sign_of_life < SIGN_OF_LIFE_SECONDS:
            return
        await self.store.checkpoint(turn.conversation_id, turn.reply.number, text)
        turn.checkpointed_chars, turn.last_sign_of_life = len(text), now

    async def _interrupt_silent(self, silent_seconds: float) -> None:
        since = datetime.now(UTC) - timedelta(seconds=silent_seconds)
        for conversation_id, reply in await self.store.interrupt_turns(since):
            log.warning("turn.interrupted", conversation=conversation_id[:6], reply=reply.number)
            rendering = await self.replies.render(reply.number, reply.text)
            self.broker.publish(conversation_id, self.renderer.turn_lost(replace(reply, rendering=rendering)))


def model_messages(conversation: Conversation, system: str) -> list[ChatMessage]:
    """Make what the model is given: the system prompt, then the showing branch up to the newest prompt.

    Replies without text (they failed at once) are left out; models take them for an answer.
    """
    told = [ChatMessage(role=Role.SYSTEM.value, content=system)] if system else []
    told += [
        ChatMessage(role=message.role.value, content=message.text)
        for message in conversation.messages
        if message.text and not message.is_running
    ]
    return told


def _describe(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else ""
    return type(error).__name__ + place
