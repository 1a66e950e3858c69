"""Which pictures are the same as a query's: candidates of both kinds of embedding, proved by their local features."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from core.collection.store import Match
from core.search.matches import Matcher, Matches
from core.search.nearest import Nearest
from core.search.query_vector import Query
from core.verification.local_features import MOST_OF_QUERY, LocalFeatures
from core.verification.verifier import Verifier, features_of

BY_COPIES, BY_CONTENT = 30, 20
"""Candidates by each kind of embedding: a copy that neither has among its first is not found."""


class SamePictures:
    """Finds the pictures that are the same as a query's. Thread-safe."""

    def __init__(self, nearest: Nearest, matcher: Matcher, verifier: Verifier) -> None:
        self._nearest = nearest
        self._matcher = matcher
        self._verifier = verifier

    def mark(self, matches: Matches) -> Matches:
        """The matches with proofs, see `Matches.same`; what is the same but was not among them has joined them.

        It takes up to a second. Only a query that looks for one picture, and for nothing else, can have any. Raises
        DatabaseError.
        """
        features = _features(matches.query)
        if features is None:
            return replace(matches, verified=True)
        candidates = self._candidates(matches)
        proofs = self._verifier.prove(features, candidates)
        known = {match.id for match in matches.found}
        joining = self._nearest.compare(
            matches.query.model, matches.query.vector, [id for id in proofs if id not in known]
        )
        marked = self._matcher.join(matches, joining)
        return replace(marked, same=proofs, verified=True)

    def _candidates(self, matches: Matches) -> list[UUID]:
        query = matches.query
        found: list[Match] = []
        if query.copy_model is not None and query.copy_vector is not None:
            found = self._nearest.search(
                query.copy_model,
                query.copy_vector,
                BY_COPIES,
                where=matches.where,
                exact=matches.exact,
                leave_out=matches.left_out,
            ).matches
        return list(dict.fromkeys(match.id for match in [*found, *matches.found[:BY_CONTENT]]))


def _features(query: Query) -> LocalFeatures | None:
    """The local features of what a query looks for; None unless that is one picture alone."""
    detail = query.encoded_parts[0].detail if len(query.encoded_parts) == 1 else None
    return None if detail is None else features_of(detail, MOST_OF_QUERY)
