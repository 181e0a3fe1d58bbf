"""The reference of addresses: made of the code, and held to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import ROOT
from webapp.routes.reference import FOR_PROGRAMS, addresses, described, markdown_table
from webapp.routes.table import routes


def test_the_page_for_programs_has_the_table_of_addresses() -> None:
    assert markdown_table(routes()) in (ROOT / "docs/programs.md").read_text(), (
        f"put it in:\n{markdown_table(routes())}"
    )


@pytest.mark.parametrize("endpoint", FOR_PROGRAMS, ids=lambda each: f"{each.__module__}.{each.__name__}")
def test_a_route_names_its_addresses_and_says_what_it_does(endpoint: Callable[..., Any]) -> None:
    named, said = described(endpoint)

    assert sorted(address for address, _query in named) == sorted(addresses(endpoint, routes()))
    assert said.endswith(".")
    assert "|" not in said


def test_no_address_is_there_twice() -> None:
    assert len(set(FOR_PROGRAMS)) == len(FOR_PROGRAMS)
