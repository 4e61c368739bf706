"""Keywords and topics: which words of texts differ from each other, and which are used together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer

#: Of two words that share more than this part of their texts, one is enough.
_ALIKE = 0.8


def keywords_of(pairs: Sequence[tuple[int, str]], vocabulary: Sequence[str], *, keywords: int) -> tuple[str, ...]:
    """Return the first words of a vocabulary that are each used in other texts than those before.

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
    """Return the words of each topic, the heaviest first; every word is in the topic that uses it most, or in none.

    Parameters
    ----------
    pairs : (text, word), once each
    vocabulary : the words, each of which stands in some pair
    topics : how many, at most

    References
    ----------
    Lee and Seung (1999), Learning the parts of objects by non-negative matrix factorization.
    """
    column = {word: number for number, word in enumerate(vocabulary)}
    texts = {text: number for number, text in enumerate(dict.fromkeys(text for text, _ in pairs))}
    stands = csr_matrix(
        (np.ones(len(pairs)), ([texts[text] for text, _ in pairs], [column[word] for _, word in pairs])),
        shape=(len(texts), len(vocabulary)),
    )
    count = min(topics, len(texts), len(vocabulary))
    model = NMF(n_components=count, init="nndsvda", random_state=0, max_iter=300, tol=1e-3)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # its error may be below zero by rounding
        warnings.simplefilter("ignore", ConvergenceWarning)  # a choice of words, no estimate: it may stop early
        parts = model.fit_transform(TfidfTransformer().fit_transform(stands))
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
