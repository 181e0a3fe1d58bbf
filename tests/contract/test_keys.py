"""What every store promises about the keys of programs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.stores import Clock, query
from webapp.domain import KeyScope, ReaderId
from webapp.errors import ProgramKeyUnknown
from webapp.stores import KeyStore

ASK = {KeyScope.ASK}


async def made(keys: KeyStore, name: str = "robot", days: int | None = None) -> str:
    key = await keys.make(name, ASK, days)
    assert key is not None
    return key


async def test_a_key_says_whose_it_is(keys: KeyStore, clock: Clock) -> None:
    key = await keys.make("robot", {KeyScope.READ, KeyScope.ASK}, 30)
    assert key is not None

    found = await keys.find(key)

    assert (found.name, found.scopes) == ("robot", {KeyScope.ASK, KeyScope.READ})
    assert (found.created_at, found.expires_at) == (clock(), clock() + timedelta(days=30))
    assert key.startswith(f"rill_{found.id}_")
    assert found.reader == f"key:{found.id}"


async def test_two_keys_are_two_readers(keys: KeyStore) -> None:
    first, second = await made(keys, "first"), await made(keys, "second")

    assert first != second
    assert (await keys.find(first)).reader != (await keys.find(second)).reader
    assert (await keys.find(first)).reader == (await keys.find(first)).reader


async def test_the_database_does_not_have_the_key(keys: KeyStore, store_url: str) -> None:
    key = await made(keys)

    ((row,),) = [await query(store_url, "SELECT * FROM keys")]

    assert key.rpartition("_")[2] not in str(row)
    assert (await keys.find(key)).id in str(row)


async def test_what_is_no_key_opens_nothing(keys: KeyStore) -> None:
    key = await made(keys)

    for other in ("", "x", key[:-1], key + "0", key.upper(), f" {key}", "\x00", "🌍", "\udcff", "rill_" + "0" * 81):
        with pytest.raises(ProgramKeyUnknown):
            await keys.find(other)
    assert (await keys.find(key)).name == "robot"


async def test_a_key_expires(keys: KeyStore, clock: Clock) -> None:
    key = await made(keys, days=1)

    clock.advance(86_399)
    assert (await keys.find(key)).name == "robot"
    clock.advance(1)
    with pytest.raises(ProgramKeyUnknown):
        await keys.find(key)
    assert [each.name for each in await keys.every()] == ["robot"]


async def test_a_revoked_key_opens_nothing_and_its_name_is_free(keys: KeyStore) -> None:
    key, other = await made(keys), await made(keys, "other")
    reader = (await keys.find(key)).reader

    assert await keys.revoke("robot")

    with pytest.raises(ProgramKeyUnknown):
        await keys.find(key)
    assert (await keys.find(other)).name == "other"
    assert not await keys.revoke("robot")
    assert (await keys.find(await made(keys))).reader != reader


async def test_a_name_is_given_once(keys: KeyStore) -> None:
    key = await made(keys)

    assert await keys.make("robot", {KeyScope.READ}) is None

    assert (await keys.find(key)).scopes == ASK
    assert len(await keys.every()) == 1


async def test_keys_are_listed_oldest_first(keys: KeyStore, clock: Clock) -> None:
    assert await keys.every() == []
    for name in ("b", "a", "c"):
        await made(keys, name)
        clock.advance(1)

    assert [each.name for each in await keys.every()] == ["b", "a", "c"]


async def test_its_use_is_noted_once_a_minute(keys: KeyStore, clock: Clock) -> None:
    key = await made(keys)
    (unused,) = await keys.every()
    noted = []
    for seconds in (0, 59, 1, 30):
        clock.advance(seconds)
        await keys.find(key)
        noted += [each.last_used_at for each in await keys.every()]

    assert unused.last_used_at is None
    first = clock() - timedelta(seconds=90)
    assert noted == [first, first, first + timedelta(seconds=60), first + timedelta(seconds=60)]


async def test_a_reader_is_let_go_on_as_long_as_the_key_works(keys: KeyStore, clock: Clock) -> None:
    kept, short, gone = [
        (await keys.find(await made(keys, name, days))).reader for name, days in (("a", None), ("b", 1), ("c", None))
    ]
    await keys.require(short)
    await keys.revoke("c")
    clock.advance(24 * 3600)

    await keys.require(kept)
    for reader in (short, gone, ReaderId("key:")):
        with pytest.raises(ProgramKeyUnknown):
            await keys.require(reader)
