"""What a proof says of two pictures, in words."""

from __future__ import annotations

from core.verification.proof import Proof

WHOLE = 0.9
"""The share from which a picture counts as whole: points lie up to three pixels beside where they belong."""

TURNED = 5.0
"""Degrees from which a picture counts as turned."""


def relation(proof: Proof) -> str:
    """What the second picture of a proof is to the first, the query, such as "Mirrored, a part: 42 % of it".

    "A part" says that the query is a part of the second picture; the percentage is how much of it.
    """
    first, second = proof.first_share >= WHOLE, proof.second_share >= WHOLE
    turns = _turns(proof)
    words = turns if first and second else [*turns, _part(proof)]
    return (", ".join(words) or "the whole picture").capitalize()


def relation_to_kept(proof: Proof) -> str:
    """What the first picture of a proof is to the second, which is kept, such as "Mirrored, cropped to 42 %"."""
    first, second = proof.first_share >= WHOLE, proof.second_share >= WHOLE
    words = _turns(proof)
    if first and not second:
        words.append(f"cropped to {_percent(proof.second_share)}")
    elif second and not first:
        words.append("shows more than the one that stays")
    elif not first:
        words.append(f"overlaps {_percent(proof.second_share)}")
    return (", ".join(words) or "same picture").capitalize()


def _part(proof: Proof) -> str:
    first, second = proof.first_share >= WHOLE, proof.second_share >= WHOLE
    if first:
        return f"a part: {_percent(proof.second_share)} of it"
    if second:
        return "your picture contains it"
    return f"they overlap: {_percent(proof.second_share)} of it"


def _turns(proof: Proof) -> list[str]:
    degrees = round(abs(proof.turned))
    if proof.mirrored and degrees >= 180 - TURNED:
        return ["upside down in a mirror"]
    words = ["mirrored"] if proof.mirrored else []
    if degrees >= TURNED:
        words.append(f"turned {degrees}°")
    return words


def _percent(share: float) -> str:
    return f"{max(1, round(100 * share))}\u202f%"
