"""Places in a feed, and how they travel as event ids."""

from __future__ import annotations

import pytest

from webapp.domain import Position


def test_a_position_is_read_as_it_was_written() -> None:
    for position in [Position(0, 0), Position(2, 17), Position(12345, Position.END)]:
        assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    ["", "-", "2", "2-", "-1", "2-1-3", "2--1", "+2-1", "2-1 ", " 2-1", "a-b", "²-1", "١-٢", "2-1\n", "9" * 30 + "-1"],
)
def test_what_no_position_wrote_is_no_position(text: str) -> None:
    assert Position.parse(text) is None


def test_positions_are_ordered_by_turn_and_then_by_fragment() -> None:
    ordered = [
        Position(2, -1),
        Position(2, 0),
        Position(2, 9),
        Position(2, 10),
        Position(2, Position.END),
        Position(4, 0),
    ]

    assert sorted(ordered, key=lambda position: (position.turn, position.index)) == ordered
    assert ordered == sorted(ordered)
    assert ordered[0] < ordered[1] < ordered[2]


def test_no_fragment_comes_after_a_turns_end() -> None:
    assert Position(2, 10**9) < Position(2, Position.END) < Position(3, 0)
