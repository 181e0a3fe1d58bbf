"""Attachments, in every database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.stores import ADA, BOB, Clock, begin, finish, request
from webapp.domain import (
    Attachment,
    AttachmentId,
    AttachmentKind,
    BegunTurn,
    Content,
    ConversationId,
    ReaderId,
)
from webapp.errors import AttachmentNotFound, AttachmentRefused
from webapp.stores import AttachmentStore, Catalog, Store


def content(number: int) -> Content:
    attachment = Attachment(
        AttachmentId(f"a{number}"), f"“{number}” <&>.png", AttachmentKind.IMAGE, "image/jpeg", 4, 40, 30
    )
    return Content(attachment, b"\x00\xff\n" + bytes([number]))


async def add(
    attachments: AttachmentStore, number: int, place: ConversationId | None = None, owner: ReaderId = ADA
) -> AttachmentId:
    assert await attachments.add(owner, place, content(number), most=8)
    return content(number).attachment.id


async def prompt_with(store: Store, attachments: AttachmentStore, *numbers: int) -> BegunTurn:
    """Begin a conversation whose first prompt has attachments, and end its turn."""
    ids = [await add(attachments, number) for number in numbers]
    begun = await store.create_conversation(ADA, "Look", request(1), attached=ids)
    await finish(store, begun)
    return begun


async def is_there(attachments: AttachmentStore, number: int, place: ConversationId) -> bool:
    return bool(await attachments.contents(place, {content(number).attachment.id}))


async def test_it_waits_in_its_place_until_its_prompt_comes(store: Store, attachments: AttachmentStore) -> None:
    first = await begin(store)
    await finish(store, first)
    place = first.conversation.id
    await add(attachments, 1)
    here = await add(attachments, 2, place)
    assert await attachments.waiting(ADA, None) == [content(1).attachment]
    assert await attachments.waiting(ADA, place) == [content(2).attachment]
    assert await attachments.waiting(BOB, None) == []

    begun = await store.begin_turn(ADA, place, "Look", request(2), attached=[here])

    assert begun.prompt.attachments == (content(2).attachment,)
    assert await attachments.waiting(ADA, place) == []
    assert [message.attachments for message in (await store.conversation(ADA, place)).messages] == [
        (),
        (),
        (content(2).attachment,),
        (),
    ]
    assert await attachments.contents(place, {here}) == [content(2)]


async def test_only_its_owner_is_given_it_where_it_was_sent(store: Store, attachments: AttachmentStore) -> None:
    waiting = await add(attachments, 1)
    with pytest.raises(AttachmentNotFound):
        await store.create_conversation(BOB, "Look", request(1), attached=[waiting])
    await attachments.drop(BOB, waiting)

    place = (await prompt_with(store, attachments, 2)).conversation.id
    other = (await begin(store, owner=ADA, number=9)).conversation.id

    sent = content(2).attachment.id
    for owner, where, strange in ((BOB, place, sent), (ADA, other, sent), (ADA, place, AttachmentId("a9"))):
        with pytest.raises(AttachmentNotFound):
            await attachments.content(owner, where, strange)
    assert await attachments.content(ADA, place, sent) == content(2)
    assert await attachments.waiting(ADA, None) == [content(1).attachment]


async def test_a_prompt_without_one_of_its_attachments_is_not_stored(
    store: Store, attachments: AttachmentStore, catalog: Catalog
) -> None:
    kept, dropped = await add(attachments, 1), await add(attachments, 2)
    await attachments.drop(ADA, dropped)

    with pytest.raises(AttachmentNotFound):
        await store.create_conversation(ADA, "Look", request(1), attached=[kept, dropped])

    assert (await catalog.beginning(ADA, 9, 9)).recent == ()
    assert await attachments.waiting(ADA, None) == [content(1).attachment]


async def test_a_prompt_that_comes_twice_has_them_once(store: Store, attachments: AttachmentStore) -> None:
    begun = await prompt_with(store, attachments, 1)

    again = await store.create_conversation(ADA, "Look", request(1), attached=[content(1).attachment.id])

    assert again.is_repeat
    assert again.prompt.attachments == begun.prompt.attachments == (content(1).attachment,)


async def test_no_more_wait_than_are_allowed(attachments: AttachmentStore) -> None:
    for number in (1, 2):
        assert await attachments.add(ADA, None, content(number), most=2)

    assert not await attachments.add(ADA, None, content(3), most=2)
    assert await attachments.add(BOB, None, content(3), most=2)


async def test_an_edited_prompt_has_what_the_first_one_had(store: Store, attachments: AttachmentStore) -> None:
    begun = await prompt_with(store, attachments, 1)
    more = await add(attachments, 2, begun.conversation.id)

    edited = await store.begin_turn(ADA, begun.conversation.id, "Look again", request(2), edits=1, attached=[more])
    await finish(store, edited)
    assert edited.prompt.attachments == (content(1).attachment, content(2).attachment)
    await store.delete_message(ADA, begun.conversation.id, edited.prompt.number)

    assert await is_there(attachments, 1, begun.conversation.id)
    assert not await is_there(attachments, 2, begun.conversation.id)


async def test_no_message_has_more_than_it_may(store: Store, attachments: AttachmentStore) -> None:
    begun = await prompt_with(store, attachments, 1, 2, 3, 4)
    place = begun.conversation.id
    more = [await add(attachments, number, place) for number in (5, 6, 7, 8, 9)]

    with pytest.raises(AttachmentRefused, match="8 attachments"):
        await store.begin_turn(ADA, place, "Look again", request(2), edits=1, attached=more)
    with pytest.raises(AttachmentRefused, match="8 attachments"):
        await store.begin_turn(ADA, place, "More", request(3), attached=[AttachmentId(f"x{n}") for n in range(9)])

    edited = await store.begin_turn(ADA, place, "Look again", request(4), edits=1, attached=more[:4])
    assert len(edited.prompt.attachments) == 8


async def test_it_goes_with_its_message_and_with_its_conversation(
    store: Store, attachments: AttachmentStore, catalog: Catalog, clock: Clock
) -> None:
    begun = await prompt_with(store, attachments, 1)
    place = begun.conversation.id
    second = await store.begin_turn(ADA, place, "More", request(2), attached=[await add(attachments, 2, place)])
    await finish(store, second)

    await store.delete_message(ADA, place, second.prompt.number)
    assert [await is_there(attachments, number, place) for number in (1, 2)] == [True, False]
    await catalog.delete(ADA, place)
    clock.advance(1)
    await catalog.purge(clock())

    assert not await is_there(attachments, 1, place)


async def test_what_was_never_sent_is_not_kept_for_ever(
    store: Store, attachments: AttachmentStore, clock: Clock
) -> None:
    begun = await prompt_with(store, attachments, 1)
    await add(attachments, 2)
    clock.advance(60)
    await add(attachments, 3)

    assert await attachments.purge_waiting(clock() - timedelta(seconds=30)) == 1

    assert await is_there(attachments, 1, begun.conversation.id)
    assert await attachments.waiting(ADA, None) == [content(3).attachment]
