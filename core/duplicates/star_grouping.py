"""Groups of duplicates, formed from pairs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

Pair = tuple[UUID, UUID]
"""Two pictures, the lower id first."""


@dataclass(frozen=True)
class Member:
    """A duplicate of a group's keeper. `similarity` to it is a cosine; for copies, the share of equal hash bits."""

    picture: UUID
    similarity: float


@dataclass(frozen=True)
class Group:
    """A picture to keep, and its duplicates, most similar first: each is a duplicate of the keeper itself."""

    keeper: UUID
    members: tuple[Member, ...]

    @property
    def pictures(self) -> list[UUID]:
        """All of them, the keeper first."""
        return [self.keeper, *(member.picture for member in self.members)]


def stars(ranked: Iterable[UUID], pairs: Iterable[tuple[UUID, UUID, float]]) -> list[Group]:
    """Groups of pictures, the largest first: a keeper and the pictures that form a pair with it.

    `ranked` are the pictures, the one most worth keeping first; `pairs` include their similarities. In that order,
    each picture not yet in a group becomes the keeper of all ungrouped pictures that it forms a pair with. So no
    picture is in a group only through a third one, and each keeper ranks before its members.
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
    """All pairs of these pictures, or only those with the picture `of`; the lower id comes first."""
    return [(min(pair), max(pair)) for pair in combinations(pictures, 2) if of is None or of in pair]
