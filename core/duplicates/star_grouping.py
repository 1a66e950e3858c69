"""Groups of duplicates, made from pairs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

Pair = tuple[UUID, UUID]
"""Two pictures, the lower id first."""


@dataclass(frozen=True)
class Member:
    """A duplicate of a group's keeper. `similarity` to it is a cosine; of copies it is the share of equal bits."""

    picture: UUID
    similarity: float


@dataclass(frozen=True)
class Group:
    """A picture that stays, and its duplicates, nearest first: each of them is one of the keeper itself."""

    keeper: UUID
    members: tuple[Member, ...]

    @property
    def pictures(self) -> list[UUID]:
        """All of them, the keeper first."""
        return [self.keeper, *(member.picture for member in self.members)]


def stars(ranked: Iterable[UUID], pairs: Iterable[tuple[UUID, UUID, float]]) -> list[Group]:
    """Groups of pictures, the largest first: each is a keeper and those that form a pair with the keeper itself.

    `ranked` are the pictures, the one that most deserves to be kept first; `pairs` come with their similarities. In
    that order each picture that is in no group yet becomes the keeper of all such pictures that it forms a pair with:
    so nobody is in a group for the sake of a third, and each keeper ranks before its members.
    """
    near = dict[UUID, list[Member]]()
    for one, other, similarity in pairs:
        near.setdefault(one, []).append(Member(other, similarity))
        near.setdefault(other, []).append(Member(one, similarity))
    taken, groups = set[UUID](), list[Group]()
    for keeper in ranked:
        if keeper not in taken:
            members = [member for member in near.get(keeper, []) if member.picture not in taken]
            if members:
                members.sort(key=lambda member: (-member.similarity, member.picture))
                groups.append(Group(keeper, tuple(members)))
                taken.update(groups[-1].pictures)
    return sorted(groups, key=lambda group: -len(group.members))


def pairs_within(pictures: Collection[UUID], of: UUID | None = None) -> list[Pair]:
    """All pairs of these pictures, or only those that one of them forms with the others; the lower id comes first."""
    return [(min(pair), max(pair)) for pair in combinations(pictures, 2) if of is None or of in pair]
