"""Every address of the app, and what answers there."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute

from webapp.routes import (
    attachments,
    conversations,
    embeds,
    exports,
    lists,
    machine_reference,
    messages,
    operations,
    setups,
    shares,
    turns,
)
from webapp.routes.embeds import InsetGate, VisitGate
from webapp.visits import FRAMES, INSETS


def routes() -> list[BaseRoute]:
    """Give all routes of the app, in the order in which they are tried."""
    return [
        Route("/", conversations.new, methods=["GET"]),
        Route("/messages", messages.create_first, methods=["POST"]),
        Route("/conversations", lists.older, methods=["GET"]),
        Route("/conversations", lists.change, methods=["POST"]),
        Route("/conversations/actions", lists.actions, methods=["GET"]),
        Route("/attachments", attachments.attach, methods=["POST"]),
        Route("/attachments/drop", attachments.detach, methods=["POST"]),
        Route("/draft", setups.keep_draft, methods=["POST"]),
        Route("/assistants", setups.assistants, methods=["GET"]),
        Route("/assistants", setups.change_assistant, methods=["POST"]),
        Route("/assistants/new", setups.new_assistant, methods=["GET"]),
        Route("/assistants/{assistant_id}", setups.edit_assistant, methods=["GET"]),
        Route("/archive", lists.archive, methods=["GET"]),
        Route("/export", exports.everything, methods=["GET"]),
        Route("/import", exports.bring, methods=["POST"]),
        Route("/search", lists.search, methods=["GET"]),
        WebSocketRoute("/stream", conversations.socket),
        *_conversation_routes(),
        Route("/c/{conversation_id}/export", exports.conversation, methods=["GET"]),
        Route("/c/{conversation_id}/share", shares.show, methods=["GET"]),
        Route("/c/{conversation_id}/share", shares.share, methods=["POST"]),
        Route("/c/{conversation_id}/share", shares.take_back, methods=["DELETE"]),
        Route("/c/{conversation_id}/share/end", shares.take_back, methods=["POST"]),
        Route("/s/{token}", shares.read, methods=["GET"]),
        Route("/c/{conversation_id}/newer", lists.newer_neighbour, methods=["GET"]),
        Route("/c/{conversation_id}/older", lists.older_neighbour, methods=["GET"]),
        Route("/c/{conversation_id}/setup", setups.show, methods=["GET"]),
        Route("/c/{conversation_id}/setup", setups.change, methods=["POST"]),
        Route("/embed/{name}", embeds.begin, methods=["GET"]),
        Route("/embed/{name}/conversations", embeds.said, methods=["GET"]),
        Route("/embed/{name}/preview", embeds.preview, methods=["GET"]),
        Route("/embed/{name}", embeds.allow, methods=["OPTIONS"]),
        *(Mount(f"{place}{{token}}", VisitGate(Router(_visit_routes()), place)) for place in (FRAMES, INSETS)),
        Mount("/inset", InsetGate(Router([Route("/latest", embeds.latest, methods=["GET"]), *_visit_routes()]))),
        WebSocketRoute("/chat", operations.tutorial),
        Route("/theme", operations.choose_theme, methods=["POST"]),
        Route("/language", operations.choose_language, methods=["POST"]),
        Route("/manifest.webmanifest", operations.manifest, methods=["GET"]),
        Route("/robots.txt", operations.robots, methods=["GET"]),
        Route("/model", operations.model, methods=["GET"]),
        Route("/image", operations.image, methods=["GET"]),
        Route("/styleguide", operations.styleguide, methods=["GET"]),
        Route("/openapi.json", machine_reference.show_openapi, methods=["GET"]),
        Route("/asyncapi.json", machine_reference.show_asyncapi, methods=["GET"]),
        Route("/healthz", operations.healthz, methods=["GET"]),
        Route("/readyz", operations.readyz, methods=["GET"]),
        Route("/static/{name}", operations.static, methods=["GET"]),
    ]


def _visit_routes() -> list[Route | WebSocketRoute]:
    """What a visitor of an embed can reach: one conversation at a time, and nothing around it."""
    return [
        Route("/", conversations.new, methods=["GET"]),
        Route("/messages", messages.create_first, methods=["POST"]),
        Route("/attachments", attachments.attach, methods=["POST"]),
        Route("/attachments/drop", attachments.detach, methods=["POST"]),
        Route("/draft", setups.keep_draft, methods=["POST"]),
        Route("/image", operations.image, methods=["GET"]),
        Route("/c/{conversation_id}/person", embeds.hand_over, methods=["POST"]),
        *_conversation_routes(),
    ]


def _conversation_routes() -> list[Route | WebSocketRoute]:
    return [
        Route("/c/{conversation_id}", conversations.show, methods=["GET"]),
        Route("/c/{conversation_id}/messages", conversations.messages, methods=["GET"]),
        Route("/c/{conversation_id}/messages", messages.create, methods=["POST"]),
        Route("/c/{conversation_id}/messages/delete", messages.delete, methods=["POST"]),
        Route("/c/{conversation_id}/attachments", attachments.attach, methods=["POST"]),
        Route("/c/{conversation_id}/attachments/drop", attachments.detach, methods=["POST"]),
        Route("/c/{conversation_id}/draft", setups.keep_draft, methods=["POST"]),
        Route("/c/{conversation_id}/rating", messages.rate, methods=["POST"]),
        Route("/c/{conversation_id}/stream", conversations.stream, methods=["GET"]),
        WebSocketRoute("/c/{conversation_id}/stream", conversations.socket),
        Route("/c/{conversation_id}/fallback", conversations.fallback, methods=["GET"]),
        Route("/c/{conversation_id}/turn", turns.stop, methods=["DELETE"]),
        Route("/c/{conversation_id}/turn/stop", turns.stop, methods=["POST"]),
        Route("/c/{conversation_id}/turn/retry", turns.retry, methods=["POST"]),
        Route("/c/{conversation_id}/turn/continue", turns.go_on, methods=["POST"]),
        Route("/c/{conversation_id}/branch", turns.show_branch, methods=["POST"]),
    ]
