"""Branches of a conversation's tree, from the parents of its messages: pure functions, numbers in and numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Children = Mapping[int | None, Sequence[int]]
"""The numbers of the messages that follow each one, oldest first; those that begin a branch follow `None`."""


def children_of(parents: Mapping[int, int | None]) -> Children:
    """Turn round which message each one follows."""
    children: dict[int | None, list[int]] = {}
    for number in sorted(parents):
        children.setdefault(parents[number], []).append(number)
    return children


def branch_to(parents: Mapping[int, int | None], head: int | None) -> Sequence[int]:
    """Follow the parents from the end of a branch to its first message; give them oldest first."""
    branch = []
    while head is not None:
        branch.append(head)
        head = parents[head]
    return branch[::-1]


def newest_leaf(children: Children, number: int) -> int:
    """Follow the newest children from a message to the end of its branch."""
    while number in children:
        number = children[number][-1]
    return number


def nearest_end(children: Children, parent: int | None) -> int | None:
    """Tell what ends the branch to show where a child of `parent` was deleted: that of another child, or the parent."""
    return newest_leaf(children, children[parent][-1]) if parent in children else parent


def with_all_that_follows(children: Children, number: int) -> set[int]:
    """Give a message and everything on the branches that go on from it."""
    found, following = set[int](), [number]
    while following:
        found.add(each := following.pop())
        following += children.get(each, ())
    return found
