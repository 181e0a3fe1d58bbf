"""The store in a SQL database: SQLite by default, PostgreSQL when one machine is outgrown.

What keeps it right when calls meet:
- All that changes a conversation's branch happens in one transaction that first locks the conversation's row.
- A prompt and its first reply are stored together, as neighbours: the reply's number is the prompt's plus one.
- Only the showing branch's last reply can be running: nothing is added, and nothing else shown, while one is.
- A running reply's text is what its row has, then its checkpoints in order; its end puts all into the row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from webapp.domain import (
    MOST_ATTACHMENTS,
    WHOLE,
    Attachment,
    AttachmentId,
    BegunTurn,
    Checkpoint,
    Conversation,
    ConversationId,
    ListedConversation,
    Message,
    RatedReply,
    ReaderId,
    Rendering,
    RequestId,
    Role,
    Setup,
    TurnState,
    Window,
)
from webapp.errors import (
    AttachmentRefused,
    ConversationNotFound,
    MessageNotFound,
    NothingToEdit,
    NothingToRetry,
    TurnRunning,
)
from webapp.stores import NO_SETUP
from webapp.stores.attachments import drop_unused, take_waiting, write_attachments
from webapp.stores.branches import children_of, nearest_end, newest_leaf, with_all_that_follows
from webapp.stores.catalog import listed_anywhere
from webapp.stores.database import Database, insert_or, new_conversation_id, to_its_end, utc_now
from webapp.stores.reading import (
    as_message,
    find,
    is_there,
    joined,
    last_number,
    locked_row,
    messages_of,
    one_row,
    owned,
    parents_of,
    pieces_of,
    with_branch,
)
from webapp.stores.search import TITLE, keep_searchable
from webapp.stores.tables import checkpoints, conversations, is_running, messages, search_texts, shares
from webapp.stores.texts import request_key, title_from
from webapp.stores.workshop import end_draft


class SqlStore:
    """Keep conversations in the database at `url`, such as `sqlite:////path/to/rill.db` or `postgresql://host/rill`.

    `now` gives the time, aware. Raises `SettingsInvalid` for a URL that is no such database.
    """

    def __init__(self, url: str, now: Callable[[], datetime] = utc_now) -> None:
        self.database = Database(url, now)

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a file that this process alone should own."""
        return self.database.is_embedded

    async def open(self) -> None:
        await self.database.open()

    async def close(self) -> None:
        await self.database.close()

    @to_its_end
    async def check(self) -> None:
        async with self.database.reading() as connection:
            await connection.execute(select(conversations.c.id).limit(1))

    @to_its_end
    async def create_conversation(
        self,
        owner: ReaderId,
        prompt: str,
        request_id: RequestId,
        setup: Setup = NO_SETUP,
        attached: Sequence[AttachmentId] = (),
    ) -> BegunTurn:
        key = request_key(request_id, prompt)
        async with self.database.writing() as connection:
            is_new = await self._add_conversation(connection, owner, title_from(prompt), key, setup)
            row = await _row_by_key(connection, owner, key)
            if not is_new:
                return await _repeated(connection, row, key)
            await end_draft(connection, owner, None, request_id, self.database.now())
            taken = await take_waiting(connection, owner, row.id, attached)
            return await self._add_turn(connection, row, None, prompt, key, taken)

    @to_its_end
    async def begin_turn(
        self,
        owner: ReaderId,
        conversation_id: ConversationId,
        prompt: str,
        request_id: RequestId,
        edits: int | None = None,
        model: str | None = None,
        attached: Sequence[AttachmentId] = (),
    ) -> BegunTurn:
        key = request_key(request_id, prompt)
        async with self.database.writing() as connection:
            row = await locked_row(connection, owner, conversation_id)
            if await _is_stored(connection, row, key):
                return await _repeated(connection, row, key)
            await _require_rest(connection, row)
            await _choose(connection, row, model)
            taken = await take_waiting(connection, owner, row.id, attached)
            if edits is None:
                await end_draft(connection, owner, conversation_id, request_id, self.database.now())
                return await self._add_turn(connection, row, row.head, prompt, key, taken)
            edited = await find(connection, row.id, edits)
            if edited is None or edited.role is not Role.USER:
                raise NothingToEdit
            if len(edited.attachments) + len(taken) > MOST_ATTACHMENTS:
                raise AttachmentRefused(f"A message can have {MOST_ATTACHMENTS} attachments.")
            await _count_switch(connection, row.id)
            begun = await self._add_turn(connection, row, edited.parent, prompt, key, [*edited.attachments, *taken])
            return replace(begun, is_switch=True)

    @to_its_end
    async def retry_turn(
        self, owner: ReaderId, conversation_id: ConversationId, number: int, *, continues: bool = False
    ) -> BegunTurn:
        async with self.database.writing() as connection:
            row = await locked_row(connection, owner, conversation_id)
            await _require_rest(connection, row)
            branch = (await with_branch(connection, row)).messages
            old = next((message for message in branch if message.number == number), None)
            if old is None or old.role is not Role.ASSISTANT or (continues and not old.text):
                raise NothingToRetry
            is_last = old.number == row.head
            if not is_last:
                await _count_switch(connection, row.id)
            text = old.text if continues else ""
            next_number = await last_number(connection, row) + 1
            await self._add_reply(connection, row, number=next_number, parent=old.parent, text=text)
            begun = await _begun(connection, row.id)
            return replace(begun, replaced=old if is_last else None, is_switch=not is_last)

    @to_its_end
    async def set_up(self, owner: ReaderId, conversation_id: ConversationId, setup: Setup) -> None:
        async with self.database.writing() as connection:
            row = await locked_row(connection, owner, conversation_id)
            own = update(conversations).where(conversations.c.id == row.id)
            parameters = {"temperature": setup.parameters.temperature, "max_tokens": setup.parameters.max_tokens}
            await connection.execute(own.values(system_prompt=setup.system_prompt, **parameters))

    @to_its_end
    async def show_branch(self, owner: ReaderId, conversation_id: ConversationId, number: int) -> Conversation:
        async with self.database.writing() as connection:
            row = await locked_row(connection, owner, conversation_id)
            await _require_rest(connection, row)
            parents = await parents_of(connection, row)
            if number not in parents:
                raise MessageNotFound
            show = update(conversations).where(conversations.c.id == row.id)
            await connection.execute(show.values(head=newest_leaf(children_of(parents), number)))
            await _count_switch(connection, row.id)
            return await with_branch(connection, await one_row(connection, owned(owner, conversation_id)))

    @to_its_end
    async def delete_message(
        self, owner: ReaderId, conversation_id: ConversationId, number: int
    ) -> Conversation | None:
        async with self.database.writing() as connection:
            row = await locked_row(connection, owner, conversation_id)
            await _require_rest(connection, row)
            parents, found = await parents_of(connection, row), await find(connection, row.id, number)
            if found is None:
                raise MessageNotFound
            children, prompt = children_of(parents), found.parent
            is_only_reply = found.role is Role.ASSISTANT and len(children[prompt]) == 1
            first = prompt if is_only_reply and prompt is not None else number
            gone = with_all_that_follows(children, first)
            left = {each: parent for each, parent in parents.items() if each not in gone}
            own, now = update(conversations).where(conversations.c.id == row.id), self.database.now()
            if not left:
                # As a whole it can be restored.
                await connection.execute(own.values(deleted_at=now, listed_at=now))
                return None
            await self._empty(connection, row, gone)
            head = row.head if row.head in left else nearest_end(children_of(left), parents[first])
            await connection.execute(own.values(head=head, listed_at=now))
            await _count_switch(connection, row.id)
            return await with_branch(connection, await one_row(connection, owned(owner, conversation_id)))

    @to_its_end
    async def rate(
        self, owner: ReaderId, conversation_id: ConversationId, number: int, rating: int | None, comment: str = ""
    ) -> Message:
        async with self.database.writing() as connection:
            row = await locked_row(connection, owner, conversation_id)
            ended = (messages.c.conversation_id == row.id, messages.c.number == number, ~is_running, is_there)
            rate = update(messages).where(*ended, messages.c.role == Role.ASSISTANT)
            rated = await connection.execute(rate.values(rating=rating, comment=comment if rating else ""))
            if not rated.rowcount:
                raise MessageNotFound
            branch = (await with_branch(connection, row)).messages
            shown = next((message for message in branch if message.number == number), None)
            if shown is None:
                raise MessageNotFound
            return shown

    @to_its_end
    async def ratings(self) -> Sequence[RatedReply]:
        prompts = messages.alias("prompts")
        is_prompt = (prompts.c.conversation_id == messages.c.conversation_id) & (prompts.c.number == messages.c.parent)
        rated = (
            select(messages, prompts.c.text.label("prompt"))
            .join(prompts, is_prompt)
            .where(messages.c.rating.is_not(None), is_there)
            .order_by(messages.c.conversation_id, messages.c.number)
        )
        async with self.database.reading() as connection:
            rows = (await connection.execute(rated)).all()
        return [RatedReply(row.conversation_id, as_message(row), row.prompt) for row in rows]

    @to_its_end
    async def conversation(
        self, owner: ReaderId, conversation_id: ConversationId, window: Window = WHOLE
    ) -> Conversation:
        async with self.database.reading() as connection:
            row = await one_row(connection, owned(owner, conversation_id))
            return await with_branch(connection, row, window)

    async def every_message(self, owner: ReaderId, conversation_id: ConversationId) -> Sequence[Message]:
        async with self.database.reading() as connection:
            row = await one_row(connection, owned(owner, conversation_id))
            numbers = sorted(await parents_of(connection, row))
            found = await messages_of(connection, row, numbers)
        return [found[number] for number in numbers]

    @to_its_end
    async def checkpoint(self, checkpoints: Sequence[Checkpoint]) -> None:
        if not checkpoints:
            return
        async with self.database.writing(is_urgent=True) as connection:
            running = await _running_among(connection, {point.conversation_id for point in checkpoints})
            alive = [point for point in checkpoints if (point.conversation_id, point.number) in running]
            if alive:
                await self._note_alive(connection, alive)
                await self._add_pieces(connection, [point for point in alive if point.text])

    @to_its_end
    async def end_turn(self, conversation_id: ConversationId, reply: Message) -> ListedConversation | None:
        values = {"text": reply.text, "state": reply.state, "cause": reply.cause, "reasoning": reply.reasoning}
        values |= {**_rendering_values(reply.rendering), **asdict(reply.measures)}
        async with self.database.writing() as connection:
            if not await self._update_running(connection, conversation_id, reply.number, **values):
                return None
            await self._touch(connection, [conversation_id])
            await _drop_pieces(connection, conversation_id, reply.number)
            listed = await listed_anywhere(connection, conversation_id)
            await keep_searchable(connection, listed.owner, conversation_id, reply.number, reply.text)
            return listed

    @to_its_end
    async def keep_rendering(self, conversation_id: ConversationId, number: int, rendering: Rendering) -> None:
        ended = (messages.c.conversation_id == conversation_id, messages.c.number == number, ~is_running)
        async with self.database.writing() as connection:
            await connection.execute(update(messages).where(*ended).values(**_rendering_values(rendering)))

    @to_its_end
    async def interrupt_turns(self, silent_since: datetime) -> Sequence[tuple[ListedConversation, Message]]:
        interrupt = (
            update(messages)
            .where(is_running, messages.c.seen_alive_at < silent_since)
            .values(state=TurnState.INTERRUPTED, cause="interrupted")
            .returning(messages)
        )
        async with self.database.writing(is_urgent=True) as connection:
            rows = (await connection.execute(interrupt)).all()
            await self._touch(connection, sorted({row.conversation_id for row in rows}))
            return [await _put_together(connection, row) for row in rows]

    async def _add_conversation(
        self, connection: AsyncConnection, owner: ReaderId, title: str, key: str, setup: Setup
    ) -> bool:
        """Add a conversation unless the prompt opened one before; another process that is adding it is waited for."""
        now = self.database.now()
        moments = {"created_at": now, "updated_at": now, "listed_at": now}
        conversation_id = new_conversation_id()
        values = {
            "id": conversation_id,
            "owner": owner,
            "title": title,
            "request_key": key,
            **moments,
            **_setup_values(setup),
        }
        statement = insert_or(conversations, connection).values(values).on_conflict_do_nothing()
        is_new = (await connection.execute(statement)).rowcount == 1
        if is_new:
            await keep_searchable(connection, owner, conversation_id, TITLE, title)
        return is_new

    async def _add_turn(
        self,
        connection: AsyncConnection,
        row: Row[Any],
        parent: int | None,
        prompt: str,
        key: str,
        attached: Sequence[Attachment],
    ) -> BegunTurn:
        number = await last_number(connection, row) + 1
        values = {"parent": parent, "role": Role.USER, "text": prompt, "request_key": key}
        values |= {"attachments": write_attachments(attached)}
        statement = insert(messages).values(conversation_id=row.id, number=number, **values)
        await connection.execute(statement.values(created_at=self.database.now()))
        await keep_searchable(connection, row.owner, row.id, number, prompt)
        await self._add_reply(connection, row, number=number + 1, parent=number)
        return await _begun(connection, row.id)

    async def _add_reply(
        self, connection: AsyncConnection, row: Row[Any], number: int, parent: int | None, text: str = ""
    ) -> None:
        """Add a running reply, empty unless it continues another, and show it."""
        now = self.database.now()
        values = {"parent": parent, "role": Role.ASSISTANT, "text": text, "state": TurnState.RUNNING}
        statement = insert(messages).values(conversation_id=row.id, number=number, **values)
        await connection.execute(statement.values(created_at=now, seen_alive_at=now))
        show = (
            update(conversations).where(conversations.c.id == row.id).values(head=number, updated_at=now, listed_at=now)
        )
        await connection.execute(show)

    async def _update_running(
        self, connection: AsyncConnection, conversation_id: ConversationId, number: int, **values: object
    ) -> bool:
        reply = (messages.c.conversation_id == conversation_id, messages.c.number == number, is_running)
        return (await connection.execute(update(messages).where(*reply).values(**values))).rowcount == 1

    async def _note_alive(self, connection: AsyncConnection, alive: Sequence[Checkpoint]) -> None:
        reply = (messages.c.conversation_id == bindparam("of"), messages.c.number == bindparam("reply"))
        rows = [{"of": point.conversation_id, "reply": point.number} for point in alive]
        await connection.execute(update(messages).where(*reply).values(seen_alive_at=self.database.now()), rows)

    async def _add_pieces(self, connection: AsyncConnection, pieces: Sequence[Checkpoint]) -> None:
        if pieces:
            statement = insert_or(checkpoints, connection).on_conflict_do_nothing()
            await connection.execute(statement, [asdict(piece) for piece in pieces])

    async def _empty(self, connection: AsyncConnection, row: Row[Any], numbers: set[int]) -> None:
        """Leave nothing of messages but their numbers, which are never given again."""
        of = (messages.c.conversation_id == row.id, messages.c.number.in_(numbers))
        nothing = {"text": "", "html": None, "reasoning": None, "comment": None, "rating": None, "attachments": None}
        await connection.execute(update(messages).where(*of).values(deleted_at=self.database.now(), **nothing))
        found = (search_texts.c.conversation_id == row.id, search_texts.c.number.in_(numbers))
        await connection.execute(delete(search_texts).where(*found))
        # A link that shows something of them leads nowhere now: whoever deletes something wants it to be gone.
        shown = (shares.c.conversation_id == row.id, shares.c.head.in_(numbers))
        await connection.execute(delete(shares).where(*shown))
        await drop_unused(connection, row.id)

    async def _touch(self, connection: AsyncConnection, changed: Sequence[ConversationId]) -> None:
        if changed:
            statement = update(conversations).where(conversations.c.id == bindparam("changed"))
            rows = [{"changed": conversation_id} for conversation_id in changed]
            now = self.database.now()
            await connection.execute(statement.values(updated_at=now, listed_at=now), rows)


async def _row_by_key(connection: AsyncConnection, owner: ReaderId, key: str) -> Row[Any]:
    by_key = select(conversations).where(conversations.c.owner == owner, conversations.c.request_key == key)
    return (await connection.execute(by_key)).one()


async def _is_stored(connection: AsyncConnection, row: Row[Any], key: str) -> bool:
    stored = select(messages.c.number).where(messages.c.conversation_id == row.id, messages.c.request_key == key)
    return await connection.scalar(stored) is not None


async def _require_rest(connection: AsyncConnection, row: Row[Any]) -> None:
    head = await find(connection, row.id, row.head)
    if head is not None and head.is_running:
        raise TurnRunning


async def _choose(connection: AsyncConnection, row: Row[Any], model: str | None) -> None:
    if model is not None and model != row.model:
        await connection.execute(update(conversations).where(conversations.c.id == row.id).values(model=model))


async def _count_switch(connection: AsyncConnection, conversation_id: ConversationId) -> None:
    counted = update(conversations).where(conversations.c.id == conversation_id)
    await connection.execute(counted.values(switches=conversations.c.switches + 1))


async def _running_among(connection: AsyncConnection, ids: set[ConversationId]) -> set[tuple[str, int]]:
    running = select(messages.c.conversation_id, messages.c.number).where(is_running)
    return {tuple(row) for row in await connection.execute(running) if row.conversation_id in ids}


async def _drop_pieces(connection: AsyncConnection, conversation_id: ConversationId, number: int) -> None:
    kept = (checkpoints.c.conversation_id == conversation_id, checkpoints.c.number == number)
    await connection.execute(delete(checkpoints).where(*kept))


async def _put_together(connection: AsyncConnection, row: Row[Any]) -> tuple[ListedConversation, Message]:
    """Put the checkpoints of a reply whose turn was interrupted into its text."""
    conversation_id: ConversationId = row.conversation_id
    whole = joined(row.text, await pieces_of(connection, conversation_id, row.number))
    stored = (messages.c.conversation_id == conversation_id, messages.c.number == row.number)
    await connection.execute(update(messages).where(*stored).values(text=whole))
    await _drop_pieces(connection, conversation_id, row.number)
    listed = await listed_anywhere(connection, conversation_id)
    await keep_searchable(connection, listed.owner, conversation_id, row.number, whole)
    return listed, replace(as_message(row), text=whole)


async def _repeated(connection: AsyncConnection, row: Row[Any], key: str) -> BegunTurn:
    by_key = select(messages).where(messages.c.conversation_id == row.id, messages.c.request_key == key)
    prompt = as_message((await connection.execute(by_key)).one())
    reply = await find(connection, row.id, prompt.number + 1)
    if reply is None:
        raise ConversationNotFound
    conversation = await with_branch(connection, row)
    showing = {message.number: message for message in conversation.messages}
    prompt, reply = showing.get(prompt.number, prompt), showing.get(reply.number, reply)
    return BegunTurn(conversation, prompt, reply, is_repeat=True)


async def _begun(connection: AsyncConnection, conversation_id: ConversationId) -> BegunTurn:
    """Say what was just added: its prompt and its reply end the showing branch."""
    row = await one_row(connection, select(conversations).where(conversations.c.id == conversation_id))
    conversation = await with_branch(connection, row)
    prompt, reply = conversation.messages[-2:]
    return BegunTurn(conversation, prompt, reply, is_repeat=False)


def _setup_values(setup: Setup) -> dict[str, object]:
    values = {"system_prompt": setup.system_prompt, "assistant": setup.assistant, "is_fixed": setup.is_fixed}
    return values | asdict(setup.parameters)


def _rendering_values(rendering: Rendering | None) -> dict[str, str | None]:
    if rendering is None:
        return {"html": None, "html_version": None}
    return {"html": rendering.html, "html_version": rendering.version}
