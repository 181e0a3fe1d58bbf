"""What every store promises about conversations that anybody with a link may read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.contract.test_branches import further, texts
from tests.stores import ADA, BOB, Clock, begin, finish, request
from webapp.domain import ConversationId, ShareToken
from webapp.errors import ConversationNotFound, ShareNotFound, TurnRunning
from webapp.stores import Catalog, ShareStore, Store


async def conversation(store: Store) -> ConversationId:
    first = await begin(store, prompt="Hello")
    await finish(store, first, "Hi")
    return first.conversation.id


async def test_a_link_shows_what_the_conversation_was(
    store: Store, catalog: Catalog, shares: ShareStore, clock: Clock
) -> None:
    first = await begin(store, prompt="Hello")
    await finish(store, first, "Hi")
    share = await shares.share(ADA, first.conversation.id)
    shared_at = clock()
    clock.advance(60)
    await further(store, first, "And?", 2, "More")
    await catalog.rename(ADA, first.conversation.id, "Private")

    found, shown = await shares.conversation(share.token)

    assert found == share
    assert share.shared_at == shared_at
    assert (shown.title, texts(shown)) == ("Hello", ["Hello", "Hi"])
    assert texts(await store.conversation(ADA, first.conversation.id)) == ["Hello", "Hi", "And?", "More"]


async def test_another_branch_changes_nothing(store: Store, shares: ShareStore) -> None:
    conversation_id = await conversation(store)
    share = await shares.share(ADA, conversation_id)
    edited = await store.begin_turn(ADA, conversation_id, "Instead", request(2), edits=1)
    await finish(store, edited, "Other")

    assert texts((await shares.conversation(share.token))[1]) == ["Hello", "Hi"]


async def test_it_is_brought_up_to_date_under_the_same_link(store: Store, shares: ShareStore, clock: Clock) -> None:
    first = await begin(store, prompt="Hello")
    await finish(store, first, "Hi")
    before = await shares.share(ADA, first.conversation.id)
    await further(store, first, "And?", 2, "More")
    clock.advance(60)

    after = await shares.share(ADA, first.conversation.id)

    assert after.token == before.token
    assert after.shared_at - before.shared_at == timedelta(seconds=60)
    assert texts((await shares.conversation(after.token))[1]) == ["Hello", "Hi", "And?", "More"]
    assert await shares.find(ADA, first.conversation.id) == after


async def test_taken_back_it_leads_nowhere_and_a_new_one_is_another(store: Store, shares: ShareStore) -> None:
    conversation_id = await conversation(store)
    old = await shares.share(ADA, conversation_id)

    await shares.take_back(ADA, conversation_id)

    assert await shares.find(ADA, conversation_id) is None
    with pytest.raises(ShareNotFound):
        await shares.conversation(old.token)
    new = await shares.share(ADA, conversation_id)
    assert new.token != old.token
    with pytest.raises(ShareNotFound):
        await shares.conversation(old.token)


async def test_only_the_owner_shares(store: Store, shares: ShareStore) -> None:
    conversation_id = await conversation(store)
    share = await shares.share(ADA, conversation_id)

    for act in (shares.share, shares.find, shares.take_back):
        with pytest.raises(ConversationNotFound):
            await act(BOB, conversation_id)
    assert await shares.find(ADA, conversation_id) == share


@pytest.mark.parametrize("token", ["", "x" * 22, "\x00", "🌍"])
async def test_a_made_up_link_leads_nowhere(store: Store, shares: ShareStore, token: str) -> None:
    await shares.share(ADA, await conversation(store))

    with pytest.raises(ShareNotFound):
        await shares.conversation(ShareToken(token))


async def test_nothing_is_shared_while_a_reply_is_written(store: Store, shares: ShareStore) -> None:
    running = await begin(store)

    with pytest.raises(TurnRunning):
        await shares.share(ADA, running.conversation.id)


async def test_a_deleted_message_is_shown_by_no_link(store: Store, shares: ShareStore) -> None:
    first = await begin(store, prompt="Hello")
    await finish(store, first, "Hi")
    await further(store, first, "Secret", 2, "Yes")
    share = await shares.share(ADA, first.conversation.id)

    await store.delete_message(ADA, first.conversation.id, 3)

    with pytest.raises(ShareNotFound):
        await shares.conversation(share.token)
    assert await shares.find(ADA, first.conversation.id) is None


async def test_what_is_deleted_elsewhere_leaves_a_link_alone(store: Store, shares: ShareStore) -> None:
    first = await begin(store, prompt="Hello")
    await finish(store, first, "Hi")
    share = await shares.share(ADA, first.conversation.id)
    await further(store, first, "Later", 2, "Yes")

    await store.delete_message(ADA, first.conversation.id, 3)

    assert texts((await shares.conversation(share.token))[1]) == ["Hello", "Hi"]


async def test_a_deleted_conversation_is_shown_by_no_link_until_it_is_restored(
    store: Store, catalog: Catalog, shares: ShareStore, clock: Clock
) -> None:
    conversation_id = await conversation(store)
    share = await shares.share(ADA, conversation_id)
    await catalog.delete(ADA, conversation_id)

    with pytest.raises(ShareNotFound):
        await shares.conversation(share.token)
    await catalog.restore(ADA, conversation_id)
    assert texts((await shares.conversation(share.token))[1]) == ["Hello", "Hi"]
    await catalog.delete(ADA, conversation_id)
    await catalog.purge(clock.advance(1))
    with pytest.raises(ShareNotFound):
        await shares.conversation(share.token)
