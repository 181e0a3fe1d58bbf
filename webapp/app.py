"""The app: puts the parts together. Only this module and `model_choice` name concrete classes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from webapp import errors
from webapp.assets import Assets
from webapp.assistants import Assistants
from webapp.attachments import Attachments
from webapp.branding import Brand
from webapp.brokers.memory import MemoryBroker
from webapp.compression import PageCompression
from webapp.domain import Conversation, Message, ModelState
from webapp.embeds import Embeds
from webapp.exports import Exports
from webapp.folders import STATIC, TEMPLATES
from webapp.images import Images
from webapp.imports import Imports
from webapp.lists import Lists
from webapp.model_choice import choose_provider
from webapp.mounting import Chat
from webapp.negotiation import Negotiation
from webapp.providers import Provider
from webapp.providers.function import FunctionProvider, ReplyFunction
from webapp.quotas import Quotas
from webapp.rendering import Renderer
from webapp.replies import ReplyRenderer
from webapp.routes import answers
from webapp.routes.table import routes
from webapp.running import TurnLimits
from webapp.security import Guard, Identify, signing_secret
from webapp.services import Services
from webapp.settings import Settings, read
from webapp.setups import Offer, read_offer
from webapp.stores.attachments import SqlAttachments
from webapp.stores.catalog import SqlCatalog
from webapp.stores.imports import SqlImports
from webapp.stores.keys import SqlKeys
from webapp.stores.outbox import SqlOutbox
from webapp.stores.shares import SqlShares
from webapp.stores.sql import SqlStore
from webapp.stores.visitors import SqlVisitors
from webapp.stores.workshop import SqlWorkshop
from webapp.titles import Titles
from webapp.turns import SILENT_TURN_SECONDS, Turns
from webapp.visitors import Introductions
from webapp.visits import Guests, Visits
from webapp.webhooks import Event, Webhooks

log = structlog.get_logger()

FIRST_LOOK_SECONDS = 2.0
"""How long the start waits to learn the model's name; an endpoint that is down must not keep the page away."""


def create_app(
    reply: ReplyFunction | None = None, *, settings: Settings | None = None, reader: Identify | None = None
) -> Starlette:
    """Make the whole product as an ASGI app, to be served alone or mounted in another one.

    `reply` is an async generator function that takes the conversation, oldest message first, as a list of
    `{"role": ..., "content": ...}`, and yields the reply piece by piece; it then answers instead of a model.
    `settings` of `None` reads the environment and `.env`. `reader` tells who sends a request or opens a socket, as the
    app around this one knows it: a text that is always the same for the same person, or `None` for nobody, who is then
    refused; it may be a coroutine function. Without it, each browser is a reader of its own. Raises `SettingsInvalid`,
    and `TypeError` for a `reply` of another kind.
    """
    settings = settings or read()
    provider = FunctionProvider(reply) if reply is not None else None
    offer, brand = read_offer(settings.rill_assistants), _brand(settings)
    embeds = Embeds(settings.embeds_path, offer)
    secret = signing_secret(settings)
    visits = Visits(secret, embeds)
    return Chat(
        routes=routes(),
        middleware=[
            Middleware(Negotiation),  # First, so that whoever is refused is told why in their language.
            Middleware(
                Guard,
                secret=secret,
                allowed_hosts=settings.rill_allowed_hosts,
                allowed_origins=settings.rill_allowed_origins,
                identify=reader,
                guests=Guests(visits),
            ),
            Middleware(PageCompression, compresslevel=6),
        ],
        exception_handlers={
            errors.RillError: answers.refused,
            404: answers.not_found,
            405: answers.method_not_allowed,
            400: answers.bad_request,
            ClientDisconnect: answers.left,
            Exception: answers.failed,
        },
        lifespan=_lifespan(settings, secret, provider, offer, brand, visits),
    )


def _brand(settings: Settings) -> Brand:
    brand = Brand(settings.rill_name, settings.rill_footer, settings.rill_logo, settings.rill_accent)
    brand.check()
    if settings.rill_templates is not None and not settings.rill_templates.is_dir():
        raise errors.SettingsInvalid(f"RILL_TEMPLATES: there is no folder {settings.rill_templates}.")
    return brand


def _lifespan(
    settings: Settings, secret: str, provider: Provider | None, offer: Offer, brand: Brand, visits: Visits
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    embeds = visits.embeds

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            store = SqlStore(settings.database_url)
            stack.push_async_callback(store.close)
            await store.open()
            chosen = provider or await choose_provider(settings)
            stack.push_async_callback(chosen.close)
            await chosen.open()
            images = Images(settings.rill_image_hosts)
            stack.push_async_callback(images.close)
            renderer = Renderer(
                TEMPLATES,
                lambda: chosen.offered,
                can_set_up=settings.rill_own_setups,
                can_attach=settings.rill_attachments,
                can_share=settings.rill_sharing,
                brand=brand,
                overrides=settings.rill_templates,
            )
            replies = ReplyRenderer(images.source, images.rule)
            stack.push_async_callback(replies.close)
            broker = MemoryBroker()
            workshop = SqlWorkshop(store.database)
            visitors = SqlVisitors(store.database)
            reader_lists = Lists(SqlCatalog(store.database), workshop, broker, visitors, embeds.lifetimes)
            stack.push_async_callback(reader_lists.close)
            await reader_lists.open()
            webhooks = Webhooks(SqlOutbox(store.database), visitors, embeds)
            stack.push_async_callback(webhooks.close)
            await webhooks.open()
            titles = Titles(chosen, reader_lists)
            stack.push_async_callback(titles.close)
            quotas = Quotas()
            attached = Attachments(SqlAttachments(store.database))
            stack.push_async_callback(attached.close)
            await attached.open()
            running = Turns(
                *(store, broker, chosen, renderer, replies, _limits(settings), attached),
                system=settings.rill_system_prompt,
                on_end=partial(_on_end, embeds, quotas, webhooks, titles if settings.rill_titles else None),
            )
            await running.open(silent_seconds=0 if store.is_embedded else SILENT_TURN_SECONDS)
            stack.push_async_callback(running.close, settings.rill_shutdown_grace_seconds)
            stack.callback(lambda: delattr(app.state, "services"))
            app.state.services = Services(
                settings,
                secret,
                store,
                chosen,
                renderer,
                replies,
                images,
                running,
                reader_lists,
                Assistants(offer, workshop, are_own_allowed=settings.rill_own_setups),
                workshop,
                attached,
                Exports(store, reader_lists.catalog, attached.store),
                Imports(
                    SqlImports(store.database),
                    are_own_allowed=settings.rill_own_setups,
                    are_files_kept=settings.rill_attachments,
                ),
                SqlShares(store.database),
                embeds,
                visits,
                quotas,
                Introductions(),
                visitors,
                webhooks,
                SqlKeys(store.database),
                brand,
                Assets(STATIC, brand),
            )
            await _first_look(chosen)
            yield

    return lifespan


def _on_end(
    embeds: Embeds,
    quotas: Quotas,
    webhooks: Webhooks,
    titles: Titles | None,
    conversation: Conversation,
    reply: Message,
) -> None:
    """Count a reply where there are limits, and tell of it; give its conversation a title where a list shows that."""
    if (embed := embeds.of(conversation.owner)) is not None:
        tokens = (reply.measures.prompt_tokens or 0) + (reply.measures.reply_tokens or 0)
        quotas.count(embed, conversation.owner, tokens)
        about = {"number": reply.number, "text": reply.text, "state": reply.state, "cause": reply.cause}
        webhooks.tell_soon(Event.REPLY_FINISHED, conversation, {"reply": about})
    elif titles is not None:
        titles.begin(conversation, reply)


def _limits(settings: Settings) -> TurnLimits:
    return TurnLimits(
        flush_seconds=settings.rill_flush_ms / 1000,
        max_prompt_chars=settings.rill_max_prompt_chars,
        max_reply_chars=settings.rill_max_reply_chars,
        turn_seconds=settings.rill_turn_seconds,
    )


async def _first_look(provider: Provider) -> None:
    """Learn the model's name, and tell the operator at once if it cannot be reached; the app starts either way."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FIRST_LOOK_SECONDS):
            try:
                await provider.check()
            except errors.ProviderError as error:
                if provider.model.state is not ModelState.STARTING:
                    log.warning("model.not_ready", cause=error.cause, detail=error.detail or error.sentence)
    model = provider.model
    log.info("model.chosen", kind=model.kind.value, model=model.name, where=model.where, state=model.state.value)
