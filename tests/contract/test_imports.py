"""Conversations that readers bring along, in every database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.stores import ADA, BOB
from webapp.domain import (
    Attachment,
    AttachmentId,
    AttachmentKind,
    Content,
    ImportedConversation,
    Message,
    Role,
    Setup,
    TurnState,
)
from webapp.stores import AttachmentStore, Catalog, Shelf, Store
from webapp.stores.imports import SqlImports
from webapp.stores.sql import SqlStore

AT = datetime(2025, 1, 2, tzinfo=UTC)
CONTENT = Content(Attachment(AttachmentId("a1"), "cat.png", AttachmentKind.IMAGE, "image/jpeg", 3, 4, 3), b"\x00\xff\n")
BROUGHT = ImportedConversation(
    "key",
    "Cats",
    AT,
    Setup(),
    (
        Message(1, None, Role.USER, "Look", AT, attachments=(CONTENT.attachment,)),
        Message(2, 1, Role.ASSISTANT, "A cat.", AT, TurnState.FINISHED),
    ),
    2,
    (CONTENT,),
)


@pytest.fixture
def imports(store: SqlStore) -> SqlImports:
    return SqlImports(store.database)


async def test_one_is_kept_with_what_its_messages_have(
    store: Store, imports: SqlImports, attachments: AttachmentStore, catalog: Catalog
) -> None:
    assert await imports.keep(ADA, BROUGHT)

    (listed,) = await catalog.page(ADA, Shelf.RECENT, 9)
    kept = await store.conversation(ADA, listed.id)
    assert (listed.title, [message.text for message in kept.messages]) == ("Cats", ["Look", "A cat."])
    assert [message.attachments for message in kept.messages] == [(CONTENT.attachment,), ()]
    assert await attachments.content(ADA, listed.id, CONTENT.attachment.id) == CONTENT
    assert await attachments.waiting(ADA, None) == []


async def test_the_same_one_is_kept_once_for_each_reader(imports: SqlImports, catalog: Catalog) -> None:
    other = replace(BROUGHT, contents=(), messages=(replace(BROUGHT.messages[0], attachments=()),), head=1)
    assert not await imports.has(ADA, "key")

    kept = [await imports.keep(owner, each) for owner, each in ((ADA, BROUGHT), (ADA, BROUGHT), (BOB, other))]

    assert kept == [True, False, True]
    assert (await imports.has(ADA, "key"), await imports.has(ADA, "other")) == (True, False)
    assert len(await catalog.page(ADA, Shelf.RECENT, 9)) == 1
