"""Edges → groups of records that break no rule: the strongest edges join first, one that may not join is held."""

from __future__ import annotations

from collections.abc import Mapping
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
    exclusive : by field, array of shape (n_nodes,); a code for each value, below 0 where there is none
    at_most : the most nodes of one group
    """

    never: Ints = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    exclusive: Mapping[str, Ints] = field(default_factory=dict)
    at_most: int | None = None


@dataclass(frozen=True)
class Clustering:
    """Groups of nodes, and the edges that were not followed.

    Parameters
    ----------
    group : array of shape (n_nodes,); each node's group, named by the group's first node
    held : array of shape (n_edges,); why an edge was held: ``never``, ``exclusive: FIELD``, ``at_most``, or empty
    """

    group: Ints
    held: NDArray[np.str_]


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
    >>> found.group.tolist(), found.held.tolist()
    ([0, 0, 2], ['', 'at_most'])
    """
    component = _components(nodes, left, right)
    touched = _touched(component, guards)
    held = np.full(len(left), "", dtype=f"<U{max([8, *(len(name) + 11 for name in guards.exclusive)])}")
    if not touched.any():
        return Clustering(_named(component), held)
    inside = np.flatnonzero(touched[component[left]])
    order = inside[np.lexsort((np.maximum(left, right)[inside], np.minimum(left, right)[inside], -weight[inside]))]
    forest = _Forest(nodes, guards)
    for edge in order:
        held[edge] = forest.join(int(left[edge]), int(right[edge]))
    members = np.flatnonzero(touched[component])
    group = component + nodes  # so that the roots of the forest, which are nodes, are told from other components
    group[members] = [forest.find(int(node)) for node in members]
    return Clustering(_named(group), held)


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
    return touched


def _named(group: Ints) -> Ints:
    """Return groups named by their first node."""
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)


class _Forest:
    """Groups that grow by joining, and know what they may not hold."""

    def __init__(self, nodes: int, guards: Guards) -> None:
        self._parent: dict[int, int] = {}
        self._size: dict[int, int] = {}
        self._foes: dict[int, set[int]] = {}
        self._values: list[tuple[str, Ints, dict[int, int]]] = [
            (name, codes, {}) for name, codes in guards.exclusive.items()
        ]
        self._at_most = nodes if guards.at_most is None else guards.at_most
        for one, other in guards.never.tolist():
            self._foes.setdefault(one, set()).add(other)
            self._foes.setdefault(other, set()).add(one)

    def find(self, node: int) -> int:
        parent = self._parent
        root = node
        while (above := parent.get(root, root)) != root:
            root = above
        while (above := parent.get(node, node)) != root:
            parent[node], node = root, above
        return root

    def join(self, left: int, right: int) -> str:
        """Join the groups of two nodes, or return why they may not be joined."""
        one, other = self.find(left), self.find(right)
        if one == other:
            return ""
        reason = self._refusal(one, other)
        if reason:
            return reason
        if self._size.get(one, 1) < self._size.get(other, 1):
            one, other = other, one
        self._parent[other] = one
        self._size[one] = self._size.get(one, 1) + self._size.get(other, 1)
        for _, codes, value in self._values:
            value[one] = max(value.get(one, int(codes[one])), value.get(other, int(codes[other])))
        foes, more = self._foes.get(one, set()), self._foes.get(other, set())
        small, large = sorted((foes, more), key=len)
        large |= small
        self._foes[one] = large
        return ""

    def _refusal(self, one: int, other: int) -> str:
        few, against = sorted(
            ((self._foes.get(one, set()), other), (self._foes.get(other, set()), one)), key=lambda each: len(each[0])
        )[0]
        if any(self.find(foe) == against for foe in few):
            return "never"
        for name, codes, value in self._values:
            mine, theirs = value.get(one, int(codes[one])), value.get(other, int(codes[other]))
            if mine >= 0 and theirs >= 0 and mine != theirs:
                return f"exclusive: {name}"
        if self._size.get(one, 1) + self._size.get(other, 1) > self._at_most:
            return "at_most"
        return ""
