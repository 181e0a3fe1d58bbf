"""The work on one reply: chunks come in, text is kept, fragments go out. This is the hot path.

What a chunk costs here, in microseconds on the machine of docs/performance.md: cleaning 1, Markdown 5 to 15, keeping
it for the next flush 1; and once a flush: the operations 5 to 15, the fragment 3, handing it to the readers 1 each.
Each end of a turn passes through `RunningTurn._end`, which stores the whole text first and tells the readers after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial

import structlog

from webapp import errors
from webapp.brokers import Broker
from webapp.domain import (
    BegunTurn,
    Checkpoint,
    ConversationId,
    FinishChunk,
    FinishReason,
    FragmentKind,
    ListChange,
    ListNews,
    Measures,
    Message,
    Parameters,
    Position,
    ReasoningChunk,
    TextChunk,
    TurnState,
    UsageChunk,
    WaitChunk,
)
from webapp.logs import describe
from webapp.markdown import Op
from webapp.providers import ChatMessage, Provider
from webapp.rendering import Renderer
from webapp.replies import ReplyRenderer, steps
from webapp.stores import Store
from webapp.text import TextCleaner
from webapp.thoughts import GrowingThoughts

log = structlog.get_logger()

SAVE_AGAIN_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""When a reply that could not be stored is tried again; the last one again and again."""


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Bounds of a turn. `flush_seconds` is the least time between two fragments; lengths are in characters."""

    flush_seconds: float = 0.04
    max_prompt_chars: int = 32_000
    max_reply_chars: int = 1_000_000
    turn_seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class TurnParts:
    """What a turn works with."""

    store: Store
    broker: Broker
    provider: Provider
    renderer: Renderer
    replies: ReplyRenderer
    limits: TurnLimits


class RunningTurn:
    """The work on one reply. `start` begins it; `task` is done when the turn has ended and is stored.

    `messages` reads what the model is told. `on_growth` is called whenever text was published, `on_end` right before
    the readers are told of the end.
    """

    def __init__(
        self,
        parts: TurnParts,
        begun: BegunTurn,
        messages: Callable[[], Awaitable[Sequence[ChatMessage]]],
        flush_seconds: float,
        *,
        parameters: Parameters,
        on_growth: Callable[[RunningTurn], None],
        on_end: Callable[[RunningTurn, Message], None],
    ) -> None:
        self._use = parts
        self.begun, self._messages = begun, messages
        self._flush_seconds, self._parameters = flush_seconds, parameters
        self._on_growth, self._on_end = on_growth, on_end
        self.conversation_id: ConversationId = begun.conversation.id
        self.reply: Message = begun.reply
        self.has_begun = asyncio.Event()
        self._html = parts.replies.begin(begun.reply.number, self._flush_soon)
        self._index = 0
        self._parts: list[str] = [begun.reply.text]
        self._chars = len(begun.reply.text)
        self._unsent: list[str] = []
        self._thoughts: GrowingThoughts | None = None
        self._measures = Measures(model=parameters.model or parts.provider.model.shown_name)
        self._started_at = 0.0
        self._has_ended = False
        self._waits_for: str | None = None
        self._cleaner = TextCleaner()
        # Whoever asks for a flush, it speaks the language of the reader who began the turn.
        self._context = copy_context()
        self._flush_timer: asyncio.Handle | None = None
        self._last_flush = float("-inf")
        self._cut: tuple[TurnState, str | None] | None = None
        self._pump: asyncio.Task[FinishReason | None] | None = None
        self._unsaved: Message | None = None
        self._last_try = asyncio.Event()
        self._kept_chars = len(begun.reply.text)
        self._last_sign_of_life = float("-inf")
        self.task: asyncio.Task[None] | None = None

    @property
    def text(self) -> str:
        """The text that was published so far; what waits for the next flush is not in it."""
        self._parts = ["".join(self._parts)]
        return self._parts[0]

    @property
    def showing(self) -> Message:
        """The reply as it was published so far."""
        if self._unsaved is not None:
            return self._unsaved
        return replace(
            self.reply,
            text=self.text,
            cause=self._waits_for,
            rendering=self._html.rendering(),
            reasoning="" if self._thoughts is None else self._thoughts.text,
            measures=self._measures,
        )

    @property
    def position(self) -> Position:
        return Position(self.reply.number, self._index)

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing left to stop; an end that could not be stored yet is one."""
        return self._has_ended

    @property
    def unkept_chars(self) -> int:
        """How much was written since the last checkpoint."""
        return self._chars - self._kept_chars

    def start(self) -> None:
        """Show that the turn begins, and begin to work."""
        if not self.reply.text:
            self._show_beginning()
        self.task = asyncio.create_task(self._run(), name=f"turn {self.reply.number}")

    def cut(self, state: TurnState, cause: str | None = None) -> None:
        """End the turn early; what was written is kept. The upstream connection closes before the turn ends."""
        if self._cut is None:
            self._cut = (state, cause)
        if self._pump is not None:
            self._pump.cancel()

    def give_up_saving(self) -> None:
        """Try to store the end once more, and no more after that."""
        self._last_try.set()

    def checkpoint(self, now: float, sign_of_life_seconds: float) -> Checkpoint | None:
        """Give what has to be stored now: new text, or a sign of life if there was none for some seconds."""
        text = self.text[self._kept_chars :]
        if not text and now - self._last_sign_of_life < sign_of_life_seconds:
            return None
        return Checkpoint(self.conversation_id, self.reply.number, self._kept_chars, text)

    def is_kept(self, checkpoint: Checkpoint, now: float) -> None:
        """Note that a checkpoint was stored."""
        self._kept_chars = checkpoint.start + len(checkpoint.text)
        self._last_sign_of_life = now

    async def _run(self) -> None:
        await self._take_up()
        self._started_at = asyncio.get_running_loop().time()
        self._pump = asyncio.create_task(self._read_chunks(), name=f"chunks {self.reply.number}")
        if self._cut is not None:
            self._pump.cancel()
        try:
            await asyncio.wait([self._pump])
        except asyncio.CancelledError:
            # The event loop ends, and nobody was told before: an app around this one has not run its lifespan.
            self.cut(TurnState.INTERRUPTED, "interrupted")
            self.give_up_saving()
            await asyncio.wait([self._pump])
            await self._end(*self._outcome(self._pump))
            raise
        await self._end(*self._outcome(self._pump))

    async def _take_up(self) -> None:
        """Render the text that a continued reply begins with, before anybody is told of the turn."""
        if self.has_begun.is_set():
            return
        for step in steps(self.reply.text):
            self._html.feed(step)
            self._html.flush()
            await asyncio.sleep(0)
        self._show_beginning()

    def _show_beginning(self) -> None:
        self._use.broker.publish(self.conversation_id, self._use.renderer.turn_began(self.begun, self.showing))
        self.has_begun.set()

    async def _read_chunks(self) -> FinishReason | None:
        limits = self._use.limits
        try:
            async with (
                asyncio.timeout(limits.turn_seconds),
                aclosing(self._use.provider.stream(await self._messages(), self._parameters)) as chunks,
            ):
                async for chunk in chunks:
                    if isinstance(chunk, FinishChunk):
                        return chunk.reason
                    if isinstance(chunk, WaitChunk):
                        self._say_waiting(chunk)
                        continue
                    if isinstance(chunk, UsageChunk):
                        self._note(prompt_tokens=chunk.prompt_tokens, reply_tokens=chunk.reply_tokens)
                        continue
                    if self._measures.first_seconds is None:
                        self._note(first_seconds=self._passed())
                    if isinstance(chunk, ReasoningChunk):
                        self._think(chunk.text)
                        continue
                    await self._take(chunk)
                    if self._chars >= limits.max_reply_chars:
                        self._cut = (TurnState.FINISHED, "too_large")
                        return None
        except TimeoutError as error:
            raise errors.TurnTooLong(detail=f"more than {limits.turn_seconds:g} s") from error
        return None

    def _think(self, text: str) -> None:
        if self._thoughts is None:
            # Not by a method of this turn's: a circle of references would wait for the garbage collector.
            render = partial(thoughts_html, self._use.renderer, self.reply)
            self._thoughts = GrowingThoughts(self.reply.number, render)
        self._thoughts.feed(text)
        self._flush_soon()

    async def _take(self, chunk: TextChunk) -> None:
        text = self._cleaner.feed(chunk.text)[: self._use.limits.max_reply_chars - self._chars]
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
        """Publish what has come: at once, or when the least time since the last time has passed.

        Chunks that arrived together are published together, unless each is asked for by itself.
        """
        if self._flush_timer is not None or self._has_ended or not self.has_begun.is_set():
            return
        loop = asyncio.get_running_loop()
        due = self._last_flush + self._flush_seconds
        if not self._flush_seconds:
            self._flush()
        elif loop.time() >= due:
            self._flush_timer = loop.call_soon(self._flush, context=self._context)
        else:
            self._flush_timer = loop.call_at(due, self._flush, context=self._context)

    def _flush(self) -> None:
        self._flush_timer = None
        self._last_flush = asyncio.get_running_loop().time()
        self._publish(self._html.flush())

    def _publish(self, ops: Sequence[Op], *, is_over: bool = False) -> None:
        text, self._unsent = "".join(self._unsent), []
        if self._thoughts is not None:
            ops = [*self._thoughts.flush(is_answering=self._chars > 0, is_over=is_over), *ops]
        if not text and not ops:
            return
        if self._waits_for is not None:
            self._say(None)
        self._parts.append(text)
        self._index += 1
        fragment = self._use.renderer.reply_progress(self.reply.number, self._index, ops, text)
        self._use.broker.publish(self.conversation_id, fragment)
        self._on_growth(self)

    def _say_waiting(self, wait: WaitChunk) -> None:
        log.info("turn.waiting", cause=wait.cause, seconds=round(wait.seconds, 1), **self._facts())
        self._say(wait)

    def _say(self, wait: WaitChunk | None) -> None:
        """Tell the readers that the model is asked again, or that it answers now."""
        self._waits_for = wait.cause if wait else None
        self._index += 1
        fragment = self._use.renderer.turn_waiting(self.reply, self._index, wait)
        self._use.broker.publish(self.conversation_id, fragment)

    def _outcome(self, pump: asyncio.Task[FinishReason | None]) -> tuple[TurnState, str | None]:
        if pump.cancelled():
            return self._cut or (TurnState.INTERRUPTED, "interrupted")
        error = pump.exception()
        if isinstance(error, errors.RillError):
            log.warning("turn.failed", cause=error.cause, detail=error.detail, **self._facts())
            return TurnState.FAILED, error.cause
        if error is not None:
            # The message may quote the prompt, so only the type and the place are logged.
            log.error("turn.failed", cause="internal", detail=describe(error), **self._facts())
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
        self._note(seconds=self._passed())
        self._publish(self._html.close(), is_over=True)
        await self._html.highlighted()
        ops = self._html.flush()
        ended = replace(self.showing, state=state, cause=cause)
        if not await self._is_stored(ended):
            self._show_unsaved(ended, ops)
            await self._store_later(ended)
            ops = []
        # No await between these two: a snapshot sees the turn either running or ended.
        self._on_end(self, ended)
        self._use.broker.publish(self.conversation_id, self._use.renderer.turn_ended(ended, ops))
        log.info("turn.ended", state=state.value, cause=cause, chars=self._chars, **self._facts())

    async def _is_stored(self, ended: Message) -> bool:
        try:
            listed = await self._use.store.end_turn(self.conversation_id, ended)
        except errors.StoreUnavailable as error:
            log.error("turn.not_saved", detail=error.detail, **self._facts())
            return False
        if listed is not None:
            self._use.broker.announce(listed.owner, ListNews(ListChange.CAME, listed))
        return True

    def _show_unsaved(self, ended: Message, ops: Sequence[Op]) -> None:
        self._unsaved = replace(ended, is_saved=False)
        self._index += 1
        fragment = self._use.renderer.turn_ended(self._unsaved, ops)
        unsaved = replace(fragment, position=self.position, kind=FragmentKind.UNSAVED)
        self._use.broker.publish(self.conversation_id, unsaved)

    async def _store_later(self, ended: Message) -> None:
        """Try again until the end is stored; the readers have the whole reply meanwhile."""
        tries = 0
        while not self._last_try.is_set():
            delay = SAVE_AGAIN_SECONDS[min(tries, len(SAVE_AGAIN_SECONDS) - 1)]
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._last_try.wait()
            tries += 1
            if await self._is_stored(ended):
                return
        log.error("turn.lost", chars=self._chars, **self._facts())

    def _passed(self) -> float:
        return round(asyncio.get_running_loop().time() - self._started_at, 1)

    def _note(self, **measures: float | None) -> None:
        self._measures = replace(self._measures, **measures)  # type: ignore[arg-type]  # Each is one of its fields.

    def _facts(self) -> dict[str, object]:
        return {"conversation": self.conversation_id[:6], "reply": self.reply.number}


def thoughts_html(renderer: Renderer, reply: Message, text: str, is_open: bool) -> str:
    """Show a reply's thoughts as its page does while the model thinks, or once it has."""
    state = TurnState.RUNNING if is_open else TurnState.FINISHED
    return renderer.thoughts(replace(reply, text="", reasoning=text, state=state))
