"""A site says who its visitor is: believed only if the embed's secret signed it, for this embed, for a short while."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from webapp import errors
from webapp.domain import Visitor
from webapp.embeds import Embed
from webapp.visitors import Introductions, about, name_of

SECRET = "s" * 64
EMBED = Embed.model_validate({"name": "support", "secret": SECRET})


def token(secret: str = SECRET, algorithm: str = "HS256", **changed: Any) -> str:
    now = int(time.time())
    claims = {"sub": "7", "aud": "support", "iat": now, "exp": now + 60, **changed}
    return jwt.encode({key: value for key, value in claims.items() if value is not None}, secret, algorithm)


def test_a_visitor_is_who_the_site_says() -> None:
    found = Introductions().read(EMBED, token(name=" Ada  L. ", context="Buys much.\x00\n"))

    assert found == Visitor("7", "Ada L.", "Buys much.")
    assert about(found).endswith("\nName: Ada L.\nBuys much.")
    assert about(Visitor("7")) == ""


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: token(secret="t" * 40), id="another's signature"),
        pytest.param(lambda: token(algorithm="HS512"), id="another algorithm"),
        pytest.param(lambda: token(secret="", algorithm="none"), id="no signature"),
        pytest.param(lambda: token(aud="other"), id="for another embed"),
        pytest.param(lambda: token(aud=None), id="for no embed"),
        pytest.param(lambda: token(exp=int(time.time()) - 60), id="over"),
        pytest.param(lambda: token(exp=None), id="for ever"),
        pytest.param(lambda: token(exp=int(time.time()) + 3_600), id="for too long"),
        pytest.param(lambda: token(iat=int(time.time()) + 600, exp=int(time.time()) + 660), id="from the future"),
        pytest.param(lambda: token(exp=str(int(time.time()) + 60)), id="a moment as text"),
        pytest.param(lambda: token(iat=str(int(time.time()))), id="another"),
        pytest.param(lambda: token(iat=None), id="from no time"),
        pytest.param(lambda: token(sub=None), id="nobody"),
        pytest.param(lambda: token(sub=""), id="nobody's name"),
        pytest.param(lambda: token(sub="x" * 201), id="too long a name"),
        pytest.param(lambda: token(context={"a": 1}), id="no text"),
        pytest.param(lambda: token(context="x" * 2_001), id="too much"),
        pytest.param(lambda: token()[:-3], id="cut"),
        pytest.param(lambda: "rubbish", id="rubbish"),
        pytest.param(lambda: "", id="empty"),
    ],
)
def test_what_cannot_be_believed_is_refused_with_the_reason_for_the_operator(made: Any) -> None:
    with pytest.raises(errors.VisitorRefused) as refused:
        Introductions().read(EMBED, made())

    assert refused.value.detail
    assert refused.value.detail not in refused.value.sentence


def test_an_embed_without_a_secret_believes_nobody() -> None:
    with pytest.raises(errors.VisitorRefused):
        Introductions().read(Embed.model_validate({"name": "support"}), token())


def test_one_with_a_jti_is_taken_once() -> None:
    introductions, once, often = Introductions(), token(jti="1"), token()
    introductions.read(EMBED, once)
    introductions.read(EMBED, token(jti="2"))

    with pytest.raises(errors.VisitorRefused, match="used before"):
        introductions.read(EMBED, once)
    assert introductions.read(EMBED, often) == introductions.read(EMBED, often)


def test_a_known_visitor_is_the_same_one_everywhere_and_nobody_else() -> None:
    assert name_of(Visitor("7", "Ada")) == name_of(Visitor("7", "Other"))
    assert name_of(Visitor("7")) != name_of(Visitor("8"))
    assert name_of(Visitor("7")) != "7"
