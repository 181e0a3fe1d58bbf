"""What ends of the server have cost: how much of what the model had sent is not in the store."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.soak.ground import Restart
from tests.soak.lives import Life
from tests.soak.model import Sent

LOST_SECONDS = 1.0
"""What a crash may cost, as the product promises: the text of a second (and no more than 2 KB of it)."""
SLACK_SECONDS = 1.0
"""How much later than it was sent a text may come to a server that shares two cores with hundreds of readers."""
RECENT_SECONDS = 3.0


@dataclass
class Losses:
    """Judges each loss, and keeps the greatest by SIGKILL: `seconds` of the model's writing, `chars` of text.

    `kills` counts the replies that lost something, `wait_seconds` is how long prompts took to be stored at that time.
    """

    restarts: Sequence[Restart]
    lives: Sequence[Life]
    kills: int = 0
    seconds: float = 0.0
    chars: int = 0
    wait_seconds: float = 0.0
    _waits: dict[Restart, float] = field(default_factory=dict)

    def judge(self, text: str, begun_at: float, sent: Sent) -> Iterator[str]:
        """Hold a reply that an end of the server cut to what that may cost: nothing if it was told to, else a second.

        What takes long to be stored while prompts do costs nobody a problem here: that is a busy machine's.
        """
        restart = next((restart for restart in self.restarts if restart.up_at > begun_at), None)
        if restart is None:
            yield "no server has ended since it began"
            return
        had = sent.continues + sent.text_before(restart.signalled_at)
        lost = len(had) - len(text)
        if lost <= 0:
            return
        seconds = restart.signalled_at - _sent_at(sent, len(text))
        wait = self._wait(restart)
        is_killed = restart.how is signal.SIGKILL
        if is_killed:
            self.kills += 1
            self.seconds, self.chars = max(self.seconds, seconds), max(self.chars, lost)
            self.wait_seconds = max(self.wait_seconds, wait)
        if seconds > SLACK_SECONDS + wait + (LOST_SECONDS if is_killed else 0.0):
            yield f"{restart.how.name} cost {lost} characters, the first of them sent {seconds:.2f} s before it"

    def _wait(self, restart: Restart) -> float:
        """How long the slowest of those waited who sent something to be stored right before a server ended."""
        if restart not in self._waits:
            at = restart.signalled_at
            waits = [wait for life in self.lives for wait in life.waits]
            recent = [min(end, at) - begun for begun, end in waits if begun < at and end > at - RECENT_SECONDS]
            self._waits[restart] = max(recent, default=0.0)
        return self._waits[restart]


def _sent_at(sent: Sent, char: int) -> float:
    """The moment at which a character of the reply was sent."""
    count = len(sent.continues)
    for at, piece in sent.pieces:
        count += len(piece)
        if count > char:
            return at
    raise ValueError(f"only {count} characters were sent")
