"""Edges → groups of records that break no rule: the strongest edges join first; one that may not join is reviewed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Guards:
    """What no group may hold.

    Parameters
    ----------
    never : array of shape (n_pairs, 2); nodes that may not be in one group
    why : of shape (n_pairs,); why two nodes may not be in one group; ``never`` if left out
    exclusive : by field, array of shape (n_nodes,); a code for each value, below 0 where there is none
    at_most : the most nodes of one group
    share : the least share of the possible edges between two groups that there have to be: one chance likeness of two
        records is weak evidence about twenty others
    certain : edges of this weight or more join groups by themselves
    counted : of shape (n_nodes,); whether a node counts when edges are; the copies of another node do not
    """

    never: Ints = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    why: Sequence[str] | None = None
    exclusive: Mapping[str, Ints] = field(default_factory=dict)
    at_most: int | None = None
    share: float = 0.0
    certain: float = np.inf
    counted: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Clustering:
    """Groups of nodes, and the edges that were not followed.

    Parameters
    ----------
    group : array of shape (n_nodes,); each node's group, named by the group's first node
    refused : of shape (n_edges,); why an edge was not followed: ``never`` or what `Guards` names instead,
        ``exclusive: FIELD``, ``at_most``, ``too few edges``; empty where it was
    """

    group: Ints
    refused: NDArray[np.str_]


def cluster(nodes: int, left: Ints, right: Ints, weight: NDArray[np.float64], guards: Guards) -> Clustering:
    """Join nodes along edges, the heaviest first, unless the group that would result breaks a guard.

    Where no guard is touched this is the connected components. The answer depends on the edges as a set, not on
    their order; ties of weight go to the lower nodes.

    Parameters
    ----------
    nodes : how many there are, numbered from 0
    left, right, weight : arrays of shape (n_edges,)
    guards : what no group may hold

    Returns
    -------
    Clustering

    Examples
    --------
    >>> left, right, weight = np.array([0, 1]), np.array([1, 2]), np.array([5.0, 3.0])
    >>> found = cluster(3, left, right, weight, Guards(at_most=2))
    >>> found.group.tolist(), found.refused.tolist()
    ([0, 0, 2], ['', 'at_most'])
    """
    component = _components(nodes, left, right)
    touched = _touched(component, guards)
    longest = max([13, *map(len, guards.why or ()), *(len(name) + 11 for name in guards.exclusive)])
    refused = np.full(len(left), "", dtype=f"<U{longest}")
    if not touched.any():
        return Clustering(_named(component), refused)
    inside = np.flatnonzero(touched[component[left]])
    order = inside[np.lexsort((np.maximum(left, right)[inside], np.minimum(left, right)[inside], -weight[inside]))]
    forest = _Forest(nodes, guards)
    if guards.share:
        forest.count_edges(zip(left[inside].tolist(), right[inside].tolist(), strict=True))
    for edge in order:
        refused[edge] = forest.join(int(left[edge]), int(right[edge]), certain=bool(weight[edge] >= guards.certain))
    members = np.flatnonzero(touched[component])
    group = component + nodes  # so that the roots of the forest, which are nodes, differ from other components
    group[members] = [forest.find(int(node)) for node in members]
    return Clustering(_named(group), refused)


def _components(nodes: int, left: Ints, right: Ints) -> Ints:
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _touched(component: Ints, guards: Guards) -> NDArray[np.bool_]:
    """Return, by component, whether it breaks a guard as it stands."""
    touched = np.zeros(int(component.max(initial=-1)) + 1, dtype=bool)
    apart = component[guards.never[:, 0]] == component[guards.never[:, 1]]
    touched[component[guards.never[apart, 0]]] = True
    for codes in guards.exclusive.values():
        filled = codes >= 0
        pairs = np.unique(np.stack([component[filled], codes[filled]]), axis=1)
        found, values = np.unique(pairs[0], return_counts=True)
        touched[found[values > 1]] = True
    if guards.at_most is not None:
        touched |= np.bincount(component, minlength=len(touched)) > guards.at_most
    if guards.share:
        sizes = np.bincount(component, guards.counted, minlength=len(touched)) // 2
        touched |= sizes * (sizes + 1) * guards.share > 1
    return touched


def _named(group: Ints) -> Ints:
    """Return groups named by their first node."""
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)


class _Forest:
    """Groups that grow by joining, with what they may not hold and the edges between them."""

    def __init__(self, nodes: int, guards: Guards) -> None:
        self._parent: dict[int, int] = {}
        self._size: dict[int, int] = {}
        self._foes: dict[int, dict[int, str]] = {}  # nodes that may not come into a group, and why
        self._values: list[tuple[str, Ints, dict[int, int]]] = [
            (name, codes, {}) for name, codes in guards.exclusive.items()
        ]
        self._at_most = nodes if guards.at_most is None else guards.at_most
        for at, (one, other) in enumerate(guards.never.tolist()):
            why = "never" if guards.why is None else guards.why[at]
            self._foes.setdefault(one, {}).setdefault(other, why)
            self._foes.setdefault(other, {}).setdefault(one, why)
        self._share, self._counted = guards.share, guards.counted
        self._edges: dict[int, dict[int, int]] = {}
        self._possible: dict[int, int] = {}

    def count_edges(self, edges: Iterable[tuple[int, int]]) -> None:
        """Count the edges between groups, each of which is one node now."""
        for one, other in edges:
            for here, there in ((one, other), (other, one)):
                between = self._edges.setdefault(here, {})
                between[there] = between.get(there, 0) + 1

    def find(self, node: int) -> int:
        parent = self._parent
        root = node
        while (above := parent.get(root, root)) != root:
            root = above
        while (above := parent.get(node, node)) != root:
            parent[node], node = root, above
        return root

    def join(self, left: int, right: int, *, certain: bool) -> str:
        """Join the groups of two nodes, or return why they may not be joined."""
        one, other = self.find(left), self.find(right)
        if one == other:
            return ""
        reason = self._refusal(one, other, certain=certain)
        if reason:
            return reason
        if self._size.get(one, 1) < self._size.get(other, 1):
            one, other = other, one
        self._parent[other] = one
        self._possible[one] = self._weight_of(one) + self._weight_of(other)
        self._move_edges(other, one)
        self._size[one] = self._size.get(one, 1) + self._size.get(other, 1)
        for _, codes, value in self._values:
            value[one] = max(value.get(one, int(codes[one])), value.get(other, int(codes[other])))
        small, large = sorted((self._foes.get(one, {}), self._foes.get(other, {})), key=len)
        large.update(small)
        self._foes[one] = large
        return ""

    def _weight_of(self, root: int) -> int:
        """Return how many nodes of a group count."""
        return self._possible.get(root, 1 if self._counted is None else int(self._counted[root]))

    def _move_edges(self, source: int, target: int) -> None:
        """Let the edges of one group be those of another."""
        mine, theirs = self._edges.get(target, {}), self._edges.pop(source, {})
        mine.pop(source, None)
        theirs.pop(target, None)
        for there, number in theirs.items():
            mine[there] = mine.get(there, 0) + number
            back = self._edges[there]
            back.pop(source, None)
            back[target] = back.get(target, 0) + number
        self._edges[target] = mine

    def _refusal(self, one: int, other: int, *, certain: bool) -> str:
        few, against = sorted(
            ((self._foes.get(one, {}), other), (self._foes.get(other, {}), one)), key=lambda each: len(each[0])
        )[0]
        foe = next((foe for foe in sorted(few) if self.find(foe) == against), None)
        if foe is not None:
            return few[foe]
        for name, codes, value in self._values:
            mine, theirs = value.get(one, int(codes[one])), value.get(other, int(codes[other]))
            if mine >= 0 and theirs >= 0 and mine != theirs:
                return f"exclusive: {name}"
        if self._size.get(one, 1) + self._size.get(other, 1) > self._at_most:
            return "at_most"
        possible = self._weight_of(one) * self._weight_of(other)
        if not certain and self._edges.get(one, {}).get(other, 0) < self._share * possible:
            return "too few edges"
        return ""
