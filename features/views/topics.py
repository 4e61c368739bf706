"""Which words of texts say something of their own, and which belong together: keywords and topics"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

#: Two words that stand together in more than this share of their texts say the same: one of them is enough.
_ALIKE = 0.8


def keywords_of(pairs: Sequence[tuple[int, str]], vocabulary: Sequence[str], *, keywords: int) -> tuple[str, ...]:
    """Return the first words of a vocabulary that each say something of their own.

    Parameters
    ----------
    pairs : (text, word), once each
    vocabulary : the words, the most used first
    keywords : how many, at most
    """
    texts: dict[str, set[int]] = {word: set() for word in vocabulary}
    for text, word in pairs:
        texts[word].add(text)
    chosen: list[str] = []
    for word in vocabulary:
        if len(chosen) == keywords:
            break
        its = texts[word]
        if its and all(len(its & texts[other]) <= _ALIKE * len(its | texts[other]) for other in chosen):
            chosen.append(word)
    return tuple(chosen)


def topics_of(
    pairs: Sequence[tuple[int, str]], vocabulary: Sequence[str], *, topics: int
) -> tuple[tuple[str, ...], ...]:
    """Return the words of each topic, the heaviest first; every word stands in the topic that uses it most, or in none.

    Parameters
    ----------
    pairs : (text, word), once each
    vocabulary : the words, each of which stands in some pair
    topics : how many, at most

    References
    ----------
    Lee and Seung (1999), Learning the parts of objects by non-negative matrix factorization.
    """
    from scipy.sparse import csr_matrix  # takes a second, and most workspaces have no texts
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    column = {word: number for number, word in enumerate(vocabulary)}
    texts = {text: number for number, text in enumerate(dict.fromkeys(text for text, _ in pairs))}
    stands = csr_matrix(
        (np.ones(len(pairs)), ([texts[text] for text, _ in pairs], [column[word] for _, word in pairs])),
        shape=(len(texts), len(vocabulary)),
    )
    count = min(topics, len(texts), len(vocabulary))
    rare = np.log((1 + len(texts)) / (1 + np.asarray(stands.sum(axis=0)).ravel())) + 1  # inverse document frequency
    weighed = stands.multiply(rare).tocsr()
    lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    model = NMF(n_components=count, init="nndsvda", random_state=0, max_iter=300, tol=1e-3)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # its error is a difference, at times below zero
        warnings.simplefilter("ignore", ConvergenceWarning)  # a choice, not an estimate: where it stops it is kept
        parts = model.fit_transform(weighed.multiply(1 / lengths[:, None]).tocsr())
    weights = model.components_ * parts.sum(axis=0)[:, None]
    best = weights.argmax(axis=0)
    found = [
        [
            number
            for number in np.argsort(-weights[topic], kind="stable")
            if best[number] == topic and weights[topic, number] > 0
        ]
        for topic in range(count)
    ]
    return tuple(tuple(vocabulary[number] for number in words) for words in found if words)
