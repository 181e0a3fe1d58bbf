"""`WS /chat`, the protocol of the well-known tutorials, so that their clients work unmodified.

In: `{"prompt": "..."}`. Out, for each: `{"type": "chunk", "content": "..."}` per chunk of the model's, then
`{"type": "done"}`; or `{"type": "error", "message": "..."}`, after which the socket stays usable. The prompts of one
socket are one conversation; several sent at once are answered one after the other.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

from starlette.websockets import WebSocket, WebSocketDisconnect

from webapp import errors
from webapp.domain import ConversationId, ReaderId, TurnState
from webapp.feeds import TextPiece, follow_begun_reply
from webapp.prompts import read_prompt
from webapp.services import Services
from webapp.transports.websocket import SEND_TIMEOUT_SECONDS, read_frame
from webapp.wire import TutorialEvent

MAX_WAITING_PROMPTS = 16


class TutorialSocket:
    """One client's socket. `run` returns when the client has left."""

    def __init__(self, websocket: WebSocket, services: Services, reader: ReaderId) -> None:
        self._websocket, self._services, self._reader = websocket, services, reader
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(MAX_WAITING_PROMPTS)
        self._conversation_id: ConversationId | None = None

    async def run(self) -> None:
        """Serve the accepted socket until the client leaves; a reply that is being written then goes on."""
        answering = asyncio.create_task(self._answer_all())
        receiving = asyncio.create_task(self._receive_all())
        try:
            await asyncio.wait([answering, receiving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            receiving.cancel()
            outcomes = await asyncio.gather(answering, receiving, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect | TimeoutError):
                raise outcome

    async def _receive_all(self) -> None:
        while (message := await self._websocket.receive())["type"] != "websocket.disconnect":
            await self._frames.put(message.get("text"))

    async def _answer_all(self) -> None:
        while True:
            frame = await self._frames.get()
            try:
                await self._answer(frame)
            except errors.RillError as error:
                await self._send({"type": "error", "message": error.sentence})

    async def _answer(self, frame: str | None) -> None:
        sent = read_prompt(read_frame(frame))
        await self._services.require_reader(self._reader)
        # Chunks are passed on as they come, as these clients expect it; see `webapp.pace` for a busy process.
        begun = await self._services.turns.begin(
            self._reader, self._conversation_id, sent.text, sent.request_id, flush_seconds=0.0
        )
        self._conversation_id = begun.conversation.id
        async with aclosing(follow_begun_reply(self._services.turns, self._reader, begun)) as news:
            async for item in news:
                if isinstance(item, TextPiece):
                    await self._send({"type": "chunk", "content": item.text})
                elif item.state in {TurnState.FINISHED, TurnState.STOPPED}:
                    await self._send({"type": "done"})
                else:
                    await self._send({"type": "error", "message": errors.sentence(item.cause or item.state.value)})

    async def _send(self, event: TutorialEvent) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            await self._websocket.send_text(json.dumps(event, ensure_ascii=False))
