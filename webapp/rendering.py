"""Templates to HTML: pages, the partials they are made of, and the fragments that change them.

A fragment is one or more `<hx-partial>` elements, applied by id (see `webapp.ids`). Without `hx-swap` a partial takes
the place of the element whose id it carries: the page sets `outerHTML` as the default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from webapp import errors, ids
from webapp.domain import Conversation, Fragment, FragmentKind, Message, Position, Role, TurnState
from webapp.markdown import MarkdownStream, Op

SPLIT = "<!--reply-->"
"""Stands in `partials/message.html` where a running reply's text goes on; a rendering can never contain it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A showing branch in two: `settled` can no longer change, `live` is the last prompt and what follows it."""

    settled: tuple[Message, ...]
    live: tuple[Message, ...]

    @property
    def last_number(self) -> int:
        """The number of the last message, 0 in an empty conversation."""
        messages = self.live or self.settled
        return messages[-1].number if messages else 0

    @classmethod
    def at_last_prompt(cls, messages: Sequence[Message]) -> Parts:
        """Split where a new page does."""
        prompts = [index for index, message in enumerate(messages) if message.role is Role.USER]
        cut = prompts[-1] if prompts else 0
        return cls(tuple(messages[:cut]), tuple(messages[cut:]))

    @classmethod
    def after(cls, messages: Sequence[Message], since: int) -> Parts:
        """Split where a page did whose last settled message has the number `since`."""
        cut = next((index for index, message in enumerate(messages) if message.number > since), len(messages))
        return cls(tuple(messages[:cut]), tuple(messages[cut:]))


class Renderer:
    """Renders templates with autoescape; an undefined name in a template is an error."""

    def __init__(self, folder: Path) -> None:
        self.environment = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals.update(
            ids=ids, sentence=errors.sentence, rendered=rendered, markers=markers, Role=Role, TurnState=TurnState
        )
        self.environment.filters["status"] = status_line

    def render(self, template: str, **context: object) -> str:
        """Render a template by its path below the templates folder, such as `fragments/notice.html`."""
        return self.environment.get_template(template).render(**context)

    def source(self, name: str) -> str:
        """Give a file of the templates folder as it is."""
        return self.environment.loader.get_source(self.environment, name)[0]  # type: ignore[union-attr]  # It is set.

    def turn_began(self, prompt: Message, reply: Message, replaced: Message | None = None) -> Fragment:
        """Show a prompt with the empty reply to it; or, for a retry, the empty reply in the place of the old one."""
        html = self.render("fragments/turn_began.html", prompt=prompt, reply=reply, replaced=replaced)
        return Fragment(Position(reply.number, 0), FragmentKind.BEGAN, html)

    def reply_progress(self, number: int, index: int, ops: Sequence[Op], text: str) -> Fragment:
        """Show what a reply grew by; the text is that of which the operations show as much as is certain."""
        return Fragment(Position(number, index), FragmentKind.PROGRESS, partials(ops), text)

    def turn_ended(self, reply: Message, ops: Sequence[Op]) -> Fragment:
        """Do what is left to do to a reply that a reader has, and say how it ended."""
        last = _our_own(partials(ops))
        return self._ended(reply, self.render("fragments/turn_ended.html", reply=reply, partials=last))

    def turn_lost(self, reply: Message) -> Fragment:
        """Show a whole reply whose turn ended in another process, whatever a reader has of it."""
        return self._ended(reply, self.render("fragments/turn_lost.html", reply=reply))

    def _ended(self, reply: Message, html: str) -> Fragment:
        position = Position(reply.number, Position.END)
        state = reply.state or TurnState.FINISHED
        return Fragment(position, FragmentKind.ENDED, html, state=state, cause=reply.cause)

    def snapshot(self, conversation: Conversation, since: int) -> str:
        """Make everything after message `since` right, whatever the page shows of it now."""
        parts = Parts.after(conversation.messages, since)
        return self.render("fragments/snapshot.html", parts=parts, running=conversation.running)


def partials(ops: Sequence[Op]) -> str:
    """Give operations as htmx takes them.

    This is the only fragment that is made many times a second, so it is formatted without a template.
    """
    return "".join([f"<hx-partial id={op.target_id}>{op.html}</hx-partial>" for op in ops])


def rendered(reply: Message) -> Markup:
    """Give a reply's rendering, which has to be there: it is the one HTML that is not made of templates."""
    if reply.rendering is None:
        raise ValueError("a reply is shown that was not rendered")
    return _our_own(reply.rendering.html)


def _our_own(html: str) -> Markup:
    return Markup(html)  # noqa: S704  # Made by webapp.markdown, which is safe by construction.


def markers(reply: Message) -> str:
    """Select what the operations of a reply leave in it for further ones, once none will come."""
    return f"#{ids.content(reply.number)} {MarkdownStream.MARKERS}"


def status_line(reply: Message | None) -> str:
    """Say in a word or two what a screen reader should hear about the latest reply."""
    match reply.state if reply is not None else None:
        case None:
            return ""
        case TurnState.RUNNING:
            return "Answering"
        case TurnState.FINISHED:
            return "Done"
        case TurnState.STOPPED:
            return "Stopped"
        case _:
            return "The reply was not finished"
