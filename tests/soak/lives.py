"""What became of one planned reader: the record that a life leaves, for the reconciliation."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from signal import Signals

from tests.dom import Dom
from tests.soak.model import Pen
from tests.soak.plans import TOKEN, Ending, Plan


def tokens(text: str) -> list[str]:
    return re.findall(TOKEN, text)


@dataclass
class Told:
    """What a transport other than a tab told of one reply. `number` is that of the reply, if it is known.

    Only what `is_whole` was told to its end; the rest was cut off. `is_exact` is for text that is not rendered.
    """

    how: str
    text: str = ""
    state: str = ""
    number: int | None = None
    is_whole: bool = False
    is_exact: bool = False

    def note(self, page: Dom) -> None:
        """Note what a page that came to its end shows of its last reply."""
        if page.replies and page.state() != "running":
            self.number = int(str(page.replies[-1].attrs["id"]).removeprefix("rill-m"))
            self.text, self.state, self.is_whole = page.text(), page.state(), True


@dataclass
class Life:
    """`problems` is empty if all was well. `end_server` has the server ended and started again, sooner or later.

    `step` counts the faults that were met, and `endings` are those of the server that happened meanwhile.
    `transcript` is what a fresh page showed at the end, `replies` what one showed of each, by number. `waits` are the
    times at which something was sent to be stored, each with that of its answer.
    """

    plan: Plan
    url: str
    pen: Pen
    counts: Counter[str]
    end_server: Callable[[Signals], None]
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    transcript: list[str] = field(default_factory=list)
    replies: dict[int, str] = field(default_factory=dict)
    waits: list[tuple[float, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    stage: str = "arriving"
    step: int = 0
    endings: list[Ending] = field(default_factory=list)
    begun_at: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def is_over(self) -> bool:
        return self.seconds > 0
