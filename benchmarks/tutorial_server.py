"""The baseline: a streaming chat server as the tutorials write it."""

from __future__ import annotations

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from openai import AsyncOpenAI

app = FastAPI()
client = AsyncOpenAI()


@app.websocket("/chat")
async def chat(websocket: WebSocket) -> None:
    """Answer each prompt with the model's chunks, one JSON frame each."""
    await websocket.accept()
    try:
        while True:
            message = await websocket.receive_json()
            await _answer(websocket, message["prompt"])
    except WebSocketDisconnect:
        pass


async def _answer(websocket: WebSocket, prompt: str) -> None:
    try:
        stream = await client.chat.completions.create(
            model="scripted-1", messages=[{"role": "user", "content": prompt}], stream=True
        )
        async for chunk in stream:
            content = chunk.choices[0].delta.content
            if content:
                await websocket.send_json({"type": "chunk", "content": content})
        await websocket.send_json({"type": "done"})
    except WebSocketDisconnect:
        raise
    except Exception as error:  # noqa: BLE001  # As the tutorials have it.
        await websocket.send_json({"type": "error", "message": str(error)})
