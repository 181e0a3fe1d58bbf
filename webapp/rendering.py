"""Templates to HTML: pages, the partials they are made of, and the fragments that change them.

A fragment is one or more `<hx-partial>` elements, applied by id (see `webapp.ids`). Without `hx-swap` a partial takes
the place of the element whose id it carries: the page sets `outerHTML` as the default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from types import CodeType
from typing import Protocol

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from webapp import errors, ids, languages
from webapp.branding import Brand
from webapp.domain import (
    PAGE_OF_MESSAGES,
    BegunTurn,
    Conversation,
    FinishReason,
    Fragment,
    FragmentKind,
    ListChange,
    ListedConversation,
    Measures,
    Message,
    ModelOption,
    Place,
    Position,
    Role,
    TurnState,
    WaitChunk,
)
from webapp.languages import N_, number
from webapp.languages import gettext as _
from webapp.markdown import MarkdownStream, Op
from webapp.stores.words import excerpt, terms_of

SPLIT = "<!--reply-->"
"""Stands in `partials/message.html` where a running reply's text goes on; a rendering can never contain it."""


AGES = ((1, N_("Last 24 hours")), (7, N_("Last 7 days")), (30, N_("Last 30 days")))
"""Up to how many days each period goes; what is older is named by its month."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A showing branch in two: `settled` can no longer change, `live` is the last prompt and what follows it.

    `earlier` is how many messages stand before these.
    """

    settled: tuple[Message, ...] = ()
    live: tuple[Message, ...] = ()
    earlier: int = 0

    @property
    def first_number(self) -> int:
        """The number of the first message, 0 if there is none."""
        return (*self.settled, *self.live)[0].number if self.settled or self.live else 0

    @property
    def last_number(self) -> int:
        """The number of the last message, 0 in an empty conversation."""
        messages = self.live or self.settled
        return messages[-1].number if messages else 0

    @classmethod
    def at_last_prompt(cls, conversation: Conversation) -> Parts:
        """Split where a new page does."""
        prompts = [message.number for message in conversation.messages if message.role is Role.USER]
        return cls.after(conversation, prompts[-1] - 1 if prompts else 0)

    @classmethod
    def after(cls, conversation: Conversation, since: int) -> Parts:
        """Split where a page did whose last settled message has the number `since`."""
        messages = conversation.messages
        cut = next((index for index, message in enumerate(messages) if message.number > since), len(messages))
        return cls(messages[:cut], messages[cut:], conversation.earlier)


class Shown(Protocol):
    """What a snapshot has to know of a page (see `webapp.pages.Page`), which its templates know more of."""

    @property
    def since(self) -> int: ...

    @property
    def switches(self) -> int: ...


class _Compiled(BytecodeCache):
    """Templates as they were compiled first, for all apps of a process: that takes half of an app's start."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, CodeType]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._known.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._known[bucket.key] = (bucket.checksum, bucket.code)


_COMPILED = _Compiled()
"""Of environments that differ in nothing that compiling depends on."""


class Renderer:
    """Renders templates with autoescape; an undefined name in a template is an error.

    `offered` gives the models that readers may choose; `can_set_up` says whether they may set conversations up,
    `can_attach` whether they may attach files, `can_share` whether they may share them. Templates in `overrides`
    take the place of those with the same names.
    """

    def __init__(
        self,
        folder: Path,
        offered: Callable[[], Sequence[ModelOption]] = tuple,
        *,
        can_set_up: bool = True,
        can_attach: bool = True,
        can_share: bool = True,
        brand: Brand | None = None,
        overrides: Path | None = None,
    ) -> None:
        self.environment = Environment(
            loader=FileSystemLoader([folder] if overrides is None else [overrides, folder]),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            auto_reload=False,
            bytecode_cache=_COMPILED,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.install_gettext_callables(  # type: ignore[attr-defined]  # The extension brings it.
            languages.gettext, languages.ngettext, newstyle=True, pgettext=languages.pgettext
        )
        self.environment.globals.update(
            ids=ids,
            sentence=errors.sentence,
            said=_,
            spoken=spoken_attributes,
            language=languages.spoken,
            languages=languages.LANGUAGES,
            rendered=rendered,
            markers=markers,
            Role=Role,
            TurnState=TurnState,
            ListChange=ListChange,
            PAGE_OF_MESSAGES=PAGE_OF_MESSAGES,
            offered=offered,
            can_set_up=can_set_up,
            can_attach=can_attach,
            can_share=can_share,
            brand=brand or Brand(),
            groups=groups,
            age=age,
            date=languages.date,
            excerpt=lambda text, query: excerpt(text, terms_of(query)),
        )
        self.environment.filters.update(
            status=status_line, can_continue=can_continue, took=took, wait_sentence=wait_sentence, bytes=bytes_in_words
        )
        # All of them now: a server that has no files left to open still has to send its readers fragments.
        for name in self.environment.list_templates(extensions=["html"]):
            self.environment.get_template(name)

    def render(self, template: str, **context: object) -> str:
        """Render a template by its path below the templates folder, such as `fragments/notice.html`."""
        return self.environment.get_template(template).render(**context)

    def source(self, name: str) -> str:
        """Give a file of the templates folder as it is."""
        return self.environment.loader.get_source(self.environment, name)[0]  # type: ignore[union-attr]  # It is set.

    def turn_began(self, begun: BegunTurn, reply: Message) -> Fragment:
        """Show a prompt with the reply to it; or, for a retry, the new reply in the place of the old one."""
        position = Position(reply.number, 0)
        if begun.is_switch:
            return Fragment(position, FragmentKind.BEGAN, "", reply.text, needs_snapshot=True)
        html = self.render("fragments/turn_began.html", prompt=begun.prompt, reply=reply, replaced=begun.replaced)
        return Fragment(position, FragmentKind.BEGAN, html, reply.text)

    def turn_waiting(self, reply: Message, index: int, wait: WaitChunk | None) -> Fragment:
        """Say why a reply does not begin yet; without `wait`, that it goes on."""
        html = self.render("fragments/turn_waiting.html", reply=reply, wait=wait)
        return Fragment(Position(reply.number, index), FragmentKind.PROGRESS, html)

    def reply_progress(self, number: int, index: int, ops: Sequence[Op], text: str) -> Fragment:
        """Show what a reply grew by; the text is that of which the operations show as much as is certain."""
        return Fragment(Position(number, index), FragmentKind.PROGRESS, partials(ops), text)

    def thoughts(self, reply: Message) -> str:
        """Show what a model thought, as its own element; open while it thinks."""
        return self.render("partials/thoughts.html", message=reply).strip()

    def turn_ended(self, reply: Message, ops: Sequence[Op]) -> Fragment:
        """Do what is left to do to a reply that a reader has, and say how it ended."""
        last = _our_own(partials(ops))
        return self._ended(reply, self.render("fragments/turn_ended.html", reply=reply, partials=last))

    def turn_lost(self, reply: Message) -> Fragment:
        """Have a reply shown whole whose turn ended with its process, whatever a reader has of it."""
        return replace(self._ended(reply, ""), needs_snapshot=True)

    def branch_shown(self, conversation: Conversation) -> Fragment:
        """Have the branch shown that shows now."""
        position = Position(conversation.last_number, Position.END + conversation.switches)
        return Fragment(position, FragmentKind.SWITCHED, "", needs_snapshot=True)

    def _ended(self, reply: Message, html: str) -> Fragment:
        position = Position(reply.number, Position.END)
        state = reply.state or TurnState.FINISHED
        return Fragment(position, FragmentKind.ENDED, html, state=state, cause=reply.cause)

    def snapshot(self, conversation: Conversation, page: Shown) -> str:
        """Make everything right that a page shows after what was settled in it, whatever it shows of that now.

        If other branches have been shown since it was made, what stands before may be another, too.
        """
        return self.render(
            "fragments/snapshot.html",
            page=page,
            parts=Parts.after(conversation, page.since),
            running=conversation.running,
            is_other=conversation.switches != page.switches,
        )


def spoken_attributes() -> Markup:
    """Give the attributes of a page that say in which language it speaks."""
    return Markup('lang="{}" dir="{}"').format(languages.spoken(), languages.direction())


def age(moment: datetime, now: datetime) -> str:
    """Say how long ago something was, by periods that are the same in every time zone; months are those of UTC."""
    days = (now - moment) / timedelta(days=1)
    name = next((name for limit, name in AGES if days < limit), None)
    return languages.month(moment) if name is None else _(name)


def groups(
    listed: Sequence[ListedConversation], now: datetime, after: Place | None
) -> Sequence[tuple[str, Sequence[ListedConversation]]]:
    """Divide conversations, the latest first, by age. At the beginning of a list the first group is always there."""
    found = [(name, list(group)) for name, group in groupby(listed, lambda each: age(each.updated_at, now))]
    latest = _(AGES[0][1])
    is_there = after is not None or bool(found and found[0][0] == latest)
    return found if is_there else [(latest, []), *found]


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


def can_continue(reply: Message) -> bool:
    """Tell whether a reply was cut off in the middle, so that the model may go on from it."""
    was_cut = reply.state in {TurnState.STOPPED, TurnState.FAILED, TurnState.INTERRUPTED}
    return bool(reply.text) and (was_cut or reply.cause == FinishReason.LENGTH)


def took(measures: Measures) -> str:
    """Say in short which model wrote a reply, when it began, and how many tokens that took."""
    seconds = measures.first_seconds
    counts = [count for count in (measures.prompt_tokens, measures.reply_tokens) if count is not None]
    parts = [
        measures.model,
        _("began after %(seconds)s s", seconds=number(seconds, 1)) if seconds is not None else "",
        languages.ngettext("%(count)s token", "%(count)s tokens", sum(counts)) if counts else "",
    ]
    return " · ".join(part for part in parts if part)


def wait_sentence(cause: str, seconds: float | None = None) -> str:
    """Say that a model is asked again, and when, if that is known."""
    is_busy = cause == errors.TooManyRequests.cause
    why = _("The model service is busy.") if is_busy else _("The model service has a problem.")
    if seconds is None:
        when = _("Asking again in a moment.")
    else:
        when = _("Asking again in %(seconds)s s.", seconds=number(max(1, round(seconds))))
    return f"{why} {when}"


def status_line(reply: Message | None) -> str:
    """Say in a word or two what a screen reader should hear about the latest reply."""
    match reply.state if reply is not None else None:
        case None:
            return ""
        case TurnState.RUNNING:
            return wait_sentence(reply.cause) if reply is not None and reply.cause else _("Answering")
        case TurnState.FINISHED:
            return _("Done")
        case TurnState.STOPPED:
            return _("Stopped")
        case _:
            return _("The reply was not finished")


def bytes_in_words(count: int) -> str:
    """Give a size as people read it, such as "12 KB"."""
    if count >= 1_000_000:
        return _("%(size)s MB", size=number(count / 1_000_000, 1))
    return _("%(size)s KB", size=number(max(1, round(count / 1000))))
