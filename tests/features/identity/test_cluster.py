"""Joining records along edges: the strongest first, and never into a group that breaks a guard."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.identity.clustering import Clustering, Guards, cluster

Edge = tuple[int, int, float]


def clustered(nodes: int, edges: list[Edge], guards: Guards | None = None) -> Clustering:
    left, right = (np.array([edge[side] for edge in edges], dtype=np.int64) for side in (0, 1))
    return cluster(nodes, left, right, np.array([edge[2] for edge in edges], dtype=float), guards or Guards())


def apart(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def test_without_guards_groups_are_connected_components() -> None:
    found = clustered(6, [(0, 1, 1.0), (1, 2, 1.0), (4, 5, 1.0)])
    assert found.group.tolist() == [0, 0, 0, 3, 4, 4]
    assert not found.refused.astype(bool).any()


def test_no_edges_leave_every_record_alone() -> None:
    assert clustered(3, []).group.tolist() == [0, 1, 2]
    assert clustered(0, []).group.tolist() == []


def test_a_pair_judged_never_is_not_joined_through_a_third_record() -> None:
    found = clustered(3, [(0, 1, 5.0), (1, 2, 9.0)], Guards(never=apart((0, 2))))
    assert found.group.tolist() == [0, 1, 1]
    assert found.refused.tolist() == ["never", ""]


def test_two_values_of_an_exclusive_field_are_not_joined_through_a_record_without_one() -> None:
    codes = np.array([7, -1, 8])
    found = clustered(3, [(0, 1, 9.0), (1, 2, 5.0)], Guards(exclusive={"national_id": codes}))
    assert found.group.tolist() == [0, 0, 2]
    assert found.refused.tolist() == ["", "exclusive: national_id"]


def test_a_group_grows_to_the_declared_number_of_records_and_no_further() -> None:
    edges = [(0, 1, 9.0), (1, 2, 8.0), (2, 3, 7.0)]
    found = clustered(4, edges, Guards(at_most=3))
    assert found.group.tolist() == [0, 0, 0, 3]
    assert found.refused.tolist() == ["", "", "at_most"]


def test_an_over_merge_is_prevented_where_two_people_hang_together_by_one_weak_edge() -> None:
    ann, bob = [(0, 1, 20.0), (1, 2, 20.0)], [(3, 4, 20.0), (4, 5, 20.0)]
    bridge = [(2, 3, 8.0)]
    assert len(set(clustered(6, ann + bob + bridge).group.tolist())) == 1
    for guards in (Guards(never=apart((0, 5))), Guards(exclusive={"id": np.array([1, -1, -1, -1, -1, 2])})):
        assert clustered(6, ann + bob + bridge, guards).group.tolist() == [0, 0, 0, 3, 3, 3]


@pytest.mark.parametrize(
    ("chance", "certain", "copies", "groups"),
    [
        (1, False, 0, 2),  # one of 25 possible edges is 4 %
        (2, False, 0, 1),  # two are 8 %
        (1, True, 0, 1),  # a link joins by itself
        (2, False, 7, 1),  # copies of a record make no edge missing
    ],
)
def test_two_groups_are_joined_by_a_share_of_the_possible_edges(
    chance: int, certain: bool, copies: int, groups: int
) -> None:
    size = 5
    within = [(a + at, b + at, 20.0) for at in (0, size) for a, b in combinations(range(size), 2)]
    between = [(at, size + at, 900.0 if certain else 8.0) for at in range(chance)]
    same = [(0, 2 * size + at, 20.0) for at in range(copies)]
    counted = np.arange(2 * size + copies) < 2 * size
    guards = Guards(share=0.08, certain=700.0, counted=counted)
    found = clustered(2 * size + copies, within + between + same, guards)
    assert len(set(found.group.tolist())) == groups
    assert set(found.refused.tolist()) == ({"", "too few edges"} if groups == 2 else {""})


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_order_of_the_edges_does_not_matter(order: list[int]) -> None:
    edges = [(0, 1, 3.0), (2, 1, 3.0), (0, 2, 1.0)]
    found = clustered(3, [edges[at] for at in order], Guards(never=apart((0, 2))))
    assert found.group.tolist() == [0, 0, 2]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[int, list[Edge], Guards]:
    nodes = draw(st.integers(1, 12))
    node = st.integers(0, nodes - 1)
    pair = st.tuples(node, node).filter(lambda two: two[0] != two[1]) if nodes > 1 else st.nothing()
    pairs = draw(st.lists(pair, max_size=30)) if nodes > 1 else []
    edges = [(one, other, float(draw(st.integers(1, 5)))) for one, other in pairs]
    never = draw(st.lists(pair, max_size=6)) if nodes > 1 else []
    codes = draw(st.lists(st.integers(-1, 2), min_size=nodes, max_size=nodes))
    at_most = draw(st.none() | st.integers(1, 6))
    return nodes, edges, Guards(never=apart(*never), exclusive={"id": np.array(codes)}, at_most=at_most)


@given(worlds())
def test_no_published_group_breaks_a_guard_and_no_edge_is_held_without_need(
    world: tuple[int, list[Edge], Guards],
) -> None:
    nodes, edges, guards = world
    found = clustered(nodes, edges, guards)
    groups = [np.flatnonzero(found.group == name) for name in np.unique(found.group)]
    codes = guards.exclusive["id"]
    banned = {frozenset(pair) for pair in guards.never.tolist()}

    def breaks(members: np.ndarray) -> bool:
        values = {int(code) for code in codes[members] if code >= 0}
        judged = any(frozenset(map(int, two)) in banned for two in combinations(members, 2))
        return judged or len(values) > 1 or len(members) > (guards.at_most or nodes)

    assert not any(breaks(members) for members in groups)
    together = {int(node): set(members.tolist()) for members in groups for node in members}
    for (one, other, _), reason in zip(edges, found.refused, strict=True):
        if reason:
            assert other not in together[one]
            assert breaks(np.array(sorted(together[one] | together[other])))
        else:
            assert other in together[one]
    shuffled = clustered(nodes, edges[::-1], guards)
    assert shuffled.group.tolist() == found.group.tolist()
