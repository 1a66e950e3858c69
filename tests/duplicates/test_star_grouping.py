from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from core.duplicates.star_grouping import Group, Member, pairs_within, stars

A, B, C, D = (UUID(int=number) for number in range(1, 5))


def test_nobody_is_in_a_group_for_the_sake_of_a_third() -> None:
    chain = [(A, B, 0.95), (B, C, 0.95), (C, D, 0.95)]
    assert stars([A, B, C, D], chain) == [Group(A, (Member(B, 0.95),)), Group(C, (Member(D, 0.95),))]
    assert stars([B, A, C, D], chain) == [Group(B, (Member(A, 0.95), Member(C, 0.95)))]


def test_the_largest_group_and_the_nearest_member_come_first() -> None:
    groups = stars([A, B, C, D], [(B, C, 0.9), (B, D, 0.99)])
    assert [member.picture for member in groups[0].members] == [D, C]
    one, other = UUID(int=8), UUID(int=9)
    groups = stars([one, other, A, B, C, D], [(one, other, 1.0), (B, C, 0.9), (B, D, 0.99)])
    assert [group.keeper for group in groups] == [B, one]


@given(st.permutations(range(12)), st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40))
def test_each_member_forms_a_pair_with_its_keeper_and_ranks_behind_it(
    order: list[int], links: set[tuple[int, int]]
) -> None:
    edges = {(min(link), max(link)) for link in links if link[0] != link[1]}
    ranked = [UUID(int=number) for number in order]
    groups = stars(ranked, [(UUID(int=one), UUID(int=other), 0.9) for one, other in edges])
    in_groups = [picture for group in groups for picture in group.pictures]
    assert len(in_groups) == len(set(in_groups))
    for group in groups:
        for member in group.members:
            pair = group.keeper.int, member.picture.int
            assert (min(pair), max(pair)) in edges
            assert ranked.index(group.keeper) < ranked.index(member.picture)
    for one, other in edges:  # what stays is free of duplicates: no two keepers or outsiders form a pair
        removed = {member.picture.int for group in groups for member in group.members}
        assert {one, other} & removed


def test_pairs_within_a_group() -> None:
    assert pairs_within([C, A, B]) == [(A, C), (B, C), (A, B)]
    assert pairs_within([C, A, B], A) == [(A, C), (A, B)]
