"""What each fault of a plan does to a reader."""

from __future__ import annotations

import asyncio

from tests.soak.asking import ask_again, read_lines, read_page, read_turn, tells_of_turn
from tests.soak.plans import Fault
from tests.soak.tabs import Tab
from tests.soak.visits import Visit

MAX_TABS = 3
_UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: c29hayBzb2FrIHNvYWsgcw==\r\n"
)


async def meet(visit: Visit, fault: Fault) -> None:
    """Let a fault happen, to one of the tabs if it is about one; return when it is over."""
    tab = visit.tabs[int(fault.tab * len(visit.tabs))]
    match fault.kind:
        case "streamed page":
            visit.set_aside(read_page(visit))
        case "lines":
            visit.set_aside(read_lines(visit))
        case "events of a turn" if tells_of_turn(visit):
            visit.set_aside(read_turn(visit))
        case "prompt again" | "events of a turn":
            await ask_again(visit, tab)
        case "stop":
            await visit.stop()
        case "try again":
            await visit.try_again(await visit.fresh(), continues=fault.tab < 0.5)
        case "abandoned socket":
            await visit.abandon(_UPGRADE)
        case "abandoned stream":
            await visit.abandon("Accept: text/event-stream\r\n")
        case "second tab" if len(visit.tabs) < MAX_TABS:
            await visit.open_tab("socket" if fault.tab < 0.5 else "events")
        case "second tab" | "reload":
            await visit.reload(tab)
        case "load cut off":
            loading = visit.set_aside(read_page(visit))
            await asyncio.sleep(fault.seconds / 10)
            visit.network.cut()
            await asyncio.wait([loading])
            await visit.reload(tab)
        case _:
            await _meet_on_the_way(visit, fault, tab)


async def _meet_on_the_way(visit: Visit, fault: Fault, tab: Tab) -> None:
    """Let something happen to the connections, or to the browser behind one."""
    between = visit.network
    match fault.kind:
        case "cut":
            between.cut()
        case "reset":
            tab.reset()
        case "freeze":
            between.freeze()
            await asyncio.sleep(fault.seconds)
            between.thaw()
        case "freeze and cut":
            between.freeze()
            await asyncio.sleep(fault.seconds)
            between.cut()
            between.thaw()
        case "half-open socket":
            between.freeze_sockets()
            tab.change("events")
            await asyncio.sleep(fault.seconds)
            between.thaw()
        case "sockets refused":
            between.sockets = "refuse"
            between.cut_sockets()
            if fault.tab < 0.5:
                tab.change("events")
            await asyncio.sleep(fault.seconds)
            between.sockets = "pass"
        case "overlap":
            tab.change(tab.way)
        case "to events":
            tab.change("events")
        case "to events anew":
            tab.change("events", forgets=True)
        case "to socket":
            tab.change("socket")
        case "hidden tab":
            tab.hide()
            await asyncio.sleep(fault.seconds)
            tab.show()
        case "slow reading":
            tab.read(False)
            await asyncio.sleep(fault.seconds)
            tab.read(True)
        case _:
            raise ValueError(f"no fault is called {fault.kind}")
