"""A file of embeds: read, read again, and refused in words; visits and quotas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from webapp import errors
from webapp.domain import Assistant, AssistantId, ConversationId, Parameters, ReaderId, Setup, Visitor
from webapp.embeds import Embed, Embeds
from webapp.quotas import Quotas
from webapp.setups import Offer
from webapp.visitors import name_of
from webapp.visits import LONGEST_VISIT, VISIT_LASTS, VISIT_RENEWS, Visits

OFFER = Offer((), (Assistant(AssistantId("helper"), "Helper", "", "Be kind.", Parameters("big"), ("What is new?",)),))
NO_ORIGINS = (
    "https://*.example",
    "https://例え.jp",
    "https://a.example; x",
    "https://a.example/b",
    "https://a.example?b",
)
NOBODY = ReaderId("embed:support:a")


def embeds(folder: Path, text: str) -> Embeds:
    path = folder / "embeds.toml"
    path.write_text(text)
    return Embeds(path, OFFER)


def embed(**fields: object) -> Embed:
    return Embed.model_validate({"name": "support", **fields})


def take(
    quotas: Quotas, one: Embed, reader: ReaderId, running: Callable[[str], int], sending: str | None = None
) -> None:
    with quotas.taken(one, reader, running, sending):
        pass


def none_running(_owners: str) -> int:
    return 0


class TestFile:
    def test_no_file_has_no_embeds(self, tmp_path: Path) -> None:
        found = Embeds(tmp_path / "nothing.toml", OFFER)

        assert dict(found.all()) == {}
        with pytest.raises(errors.EmbedNotFound):
            found.find("support")

    def test_a_table_is_an_embed(self, tmp_path: Path) -> None:
        found = embeds(
            tmp_path,
            '[support]\norigins = ["https://Shop.example:443/"]\n'
            'system_prompt = "Sell."\nmodel = "m"\ntemperature = 0.5\n'
            'starters = ["a  b"]\n[support.limits]\nrunning = 7',
        )

        one = found.find("support")

        assert (one.origins, one.starters, one.limits.running) == (("https://shop.example",), ("a b",), 7)
        assert found.setup(one) == Setup("Sell.", Parameters("m", 0.5), is_fixed=True)

    def test_an_assistant_answers_for_it(self, tmp_path: Path) -> None:
        found = embeds(tmp_path, '[support]\nassistant = "helper"')
        one = found.find("support")

        assert found.setup(one) == Setup("Be kind.", Parameters("big"), "Helper", is_fixed=True)
        assert found.starters(one) == ("What is new?",)

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("[support", "cannot be read"),
            ("support = 1", "stands outside of any embed"),
            ("[Support]", "name"),
            ('[support]\norigins = ["shop.example"]', "is no origin"),
            *((f'[support]\norigins = ["{origin}"]', "is no origin") for origin in NO_ORIGINS),
            ("[support]\ntemperature = 3", "temperature"),
            ("[support]\ncolour = 3", "colour"),
            ("[support.limits]\nrunning = -1", "limits.running"),
            ('[support]\nwebhook = "https://a.example"', "it needs a secret"),
            (f'[support]\nsecret = "{"s" * 32}"\nwebhook = "file:///etc"', "http or https"),
            (f'[support]\nsecret = "{"s" * 32}"\nwebhook = "http://["', "http or https"),
            ("[support]\nhandover = true", "it needs a webhook"),
            ('[support]\nsecret = "short"', "secret"),
            ('[support]\nassistant = "nobody"', 'no assistant with the id "nobody"'),
        ],
    )
    def test_what_cannot_be_used_is_named(self, tmp_path: Path, text: str, word: str) -> None:
        with pytest.raises(errors.SettingsInvalid, match=r"embeds\.toml") as refused:
            embeds(tmp_path, text)

        assert word in refused.value.sentence

    def test_it_is_read_again_when_it_changes_and_kept_when_it_breaks(self, tmp_path: Path) -> None:
        found, path = embeds(tmp_path, "[support]"), tmp_path / "embeds.toml"
        path.write_text("[other]\n")
        assert list(found.all()) == ["other"]
        path.write_text("[broken")
        assert list(found.all()) == ["other"]
        path.unlink()
        assert list(found.all()) == []

    def test_a_resting_one_is_not_found_but_kept(self, tmp_path: Path) -> None:
        found = embeds(tmp_path, "[support]\nenabled = false\nkeep_days = 3")

        with pytest.raises(errors.EmbedNotFound):
            found.find("support")
        assert found.lifetimes() == {"embed:support:": timedelta(days=3)}
        assert found.of(NOBODY) is found.all()["support"]
        assert found.of(ReaderId("a" * 32)) is None


class TestVisits:
    @pytest.fixture
    def visits(self, tmp_path: Path) -> Visits:
        return Visits(
            "s" * 32, embeds(tmp_path, "[support]\n[other]\n[resting]\nenabled = false\n[members]\nknown_only = true")
        )

    def test_a_token_names_its_visitor_and_says_nothing_else(self, visits: Visits) -> None:
        one, other = visits.begin(embed()), visits.begin(embed())

        read = visits.read(one.token)

        assert (read.reader, read.embed.name) == (one.reader, "support")
        assert one.reader != other.reader
        assert not read.has_ended
        assert not read.is_old

    def test_it_names_one_conversation_or_a_new_one(self, visits: Visits) -> None:
        new = visits.begin(embed())
        here = visits.read(visits.at(new, ConversationId("a")).token)

        here.require_place("/c/a")
        here.require_place("/c/a/stream")
        for visit in (here, new):
            visit.require_place("/")
            visit.require_place("/messages")
            for path in ("/c/b", "/c/", "/c", "/c/ab/stream"):
                with pytest.raises(errors.ConversationNotFound):
                    visit.require_place(path)
        assert visits.read(visits.renewed(here).token).conversation_id == "a"
        assert visits.at(here, None).conversation_id is None
        assert (here.reader, visits.at(here, here.conversation_id)) == (new.reader, here)

    def test_what_a_site_keeps_is_no_part_of_an_address_and_the_other_way_round(self, visits: Visits) -> None:
        visit = visits.begin(embed())

        assert visits.read_kept(visits.kept(visit)).reader == visit.reader
        with pytest.raises(errors.EmbedNotFound):
            visits.read(visits.kept(visit))
        with pytest.raises(errors.EmbedNotFound):
            visits.read_kept(visit.token)

    def test_it_is_renewed_by_the_hour_and_ends_in_a_day(self, visits: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
        made = visits.begin(embed()).made_at.timestamp()

        def read_after(age: timedelta) -> tuple[bool, bool]:
            monkeypatch.setattr("itsdangerous.timed.time.time", lambda: made - age.total_seconds())
            token = visits.begin(embed()).token
            visit = visits.read(token)
            return visit.is_old, visit.has_ended

        minute = timedelta(minutes=1)
        assert read_after(VISIT_RENEWS - minute) == (False, False)
        assert read_after(VISIT_RENEWS + minute) == (True, False)
        assert read_after(VISIT_LASTS - minute) == (True, False)
        assert read_after(VISIT_LASTS + minute) == (True, True)

    def test_another_installation_s_token_is_none(self, visits: Visits, tmp_path: Path) -> None:
        token = Visits("t" * 32, embeds(tmp_path, "[support]")).begin(embed()).token

        with pytest.raises(errors.EmbedNotFound):
            visits.read(token)

    def test_a_resting_embed_has_no_visits_nor_one_for_others_only(self, visits: Visits) -> None:
        for name, refusal in (("resting", errors.EmbedNotFound), ("members", errors.NotSignedIn)):
            with pytest.raises(refusal):
                visits.read(visits.begin(embed(name=name)).token).require_open()
        visits.read(visits.begin(embed(name="members"), name_of(Visitor("7"))).token).require_open()

    def test_it_ends_in_a_week_however_often_it_is_renewed(self, visits: Visits) -> None:
        first = visits.begin(embed())
        old = replace(first, begun_at=first.begun_at - LONGEST_VISIT + timedelta(hours=1))

        again = visits.read(visits.renewed(old).token)

        assert (again.visitor, again.has_ended) == (first.visitor, False)
        assert again.ends_at - again.made_at <= timedelta(hours=1)
        over = replace(again, begun_at=again.begun_at - timedelta(hours=1))
        assert visits.read(visits.renewed(over).token).has_ended


class TestQuotas:
    def test_a_visitor_s_own_limit_leaves_others_alone(self) -> None:
        quotas, one = Quotas(), embed(limits={"visitor_prompts_per_hour": 2})
        for _ in range(2):
            take(quotas, one, NOBODY, none_running)

        with pytest.raises(errors.QuotaReached) as refused:
            take(quotas, one, NOBODY, none_running)

        assert 1 <= (refused.value.minutes or 0) <= 60
        take(quotas, one, ReaderId("embed:support:b"), none_running)

    def test_the_whole_embed_has_one_too(self) -> None:
        quotas, one = Quotas(), embed(limits={"prompts_per_day": 1})
        take(quotas, one, NOBODY, none_running)

        with pytest.raises(errors.QuotaReached):
            take(quotas, one, ReaderId("embed:support:b"), none_running)
        take(quotas, embed(name="other", limits={"prompts_per_day": 1}), ReaderId("embed:other:b"), none_running)

    def test_tokens_count_once_they_are_written(self) -> None:
        quotas, one = Quotas(), embed(limits={"tokens_per_hour": 100})
        take(quotas, one, NOBODY, none_running)
        quotas.count(one, NOBODY, 99)
        take(quotas, one, NOBODY, none_running)
        quotas.count(one, NOBODY, 500)

        with pytest.raises(errors.QuotaReached):
            take(quotas, one, NOBODY, none_running)

    def test_a_visitor_s_tokens_are_that_visitor_s_alone(self) -> None:
        quotas, one = Quotas(), embed(limits={"visitor_tokens_per_day": 100})
        quotas.count(one, NOBODY, 500)

        take(quotas, one, ReaderId("embed:support:b"), none_running)
        with pytest.raises(errors.QuotaReached):
            take(quotas, one, NOBODY, none_running)

    def test_so_many_replies_are_written_at_once(self) -> None:
        quotas, one = Quotas(), embed(limits={"visitor_running": 2, "running": 5})
        take(quotas, one, NOBODY, {NOBODY: 1, "embed:support:": 4}.__getitem__)

        for running in ({NOBODY: 2, "embed:support:": 4}, {NOBODY: 1, "embed:support:": 5}):
            with pytest.raises(errors.QuotaReached, match="Try again when"):
                take(quotas, one, NOBODY, running.__getitem__)

    def test_those_that_begin_at_once_count_before_they_have_begun(self) -> None:
        quotas, one = Quotas(), embed(limits={"prompts_per_hour": 2, "visitor_running": 0, "running": 0})
        other = ReaderId("embed:support:b")
        with (
            quotas.taken(one, NOBODY, none_running),
            quotas.taken(one, other, none_running),
            pytest.raises(errors.QuotaReached),
        ):
            take(quotas, one, NOBODY, none_running)

    def test_one_sending_is_let_on_however_often_it_comes(self) -> None:
        quotas, one = Quotas(), embed(limits={"prompts_per_hour": 1})
        with quotas.taken(one, NOBODY, none_running, "a"):
            take(quotas, one, NOBODY, none_running, "a")
        take(quotas, one, NOBODY, lambda _: 9, "a")

        for reader, sending in ((NOBODY, "b"), (ReaderId("embed:support:b"), "a")):
            with pytest.raises(errors.QuotaReached):
                take(quotas, one, reader, none_running, sending)

    def test_no_limit_is_none(self) -> None:
        quotas, one = Quotas(), embed(limits=dict.fromkeys(type(embed().limits).model_fields, 0))

        for _ in range(2_000):
            take(quotas, one, NOBODY, {}.__getitem__)

    def test_what_does_not_begin_is_not_counted(self) -> None:
        quotas, one = Quotas(), embed(limits={"visitor_prompts_per_hour": 1})
        with pytest.raises(errors.PromptEmpty), quotas.taken(one, NOBODY, none_running):
            raise errors.PromptEmpty
        take(quotas, one, NOBODY, none_running)

        with pytest.raises(errors.QuotaReached):
            take(quotas, one, NOBODY, none_running)

    def test_what_is_about_to_begin_counts_as_running(self) -> None:
        quotas, one = Quotas(), embed(limits={"visitor_running": 2})
        with (
            quotas.taken(one, NOBODY, none_running),
            quotas.taken(one, NOBODY, none_running),
            pytest.raises(errors.QuotaReached),
        ):
            take(quotas, one, NOBODY, none_running)
        take(quotas, one, NOBODY, none_running)
