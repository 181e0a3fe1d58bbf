"""A chat for the tests of whoever builds on Rill: the real app with scripted replies, and a reader.

    async with chat("Hello ", "world") as reader:
        reply = await reader.ask("Hi")
        assert reply.text == "Hello world"

It needs `rill[testing]`, and no pytest: anything that runs coroutines will do.
"""

from webapp.testing.dom import Dom
from webapp.testing.readers import Reader, Refused, Reply
from webapp.testing.scripts import Gate, Script
from webapp.testing.server import chat

__all__ = ["Dom", "Gate", "Reader", "Refused", "Reply", "Script", "chat"]
