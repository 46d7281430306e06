"""Fingerprints of inputs: short texts that differ where what a row was computed from differs.

They detect change. They are no signature: nobody is kept from finding two inputs with one fingerprint.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from analytics.calculations.observations import Floats

Words = NDArray[np.uint64]
Fingerprints = NDArray[np.bytes_]

LENGTH = 32
_LANES = 2
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# Odd, so that both can be undone modulo 2^64. Source: L'Ecuyer 1999, multipliers of good lattice structure.
_MULTIPLIERS = np.array([2862933555777941757, 3202034522624059733], dtype=np.uint64)
_INVERSES = np.array([pow(int(m), -1, 1 << 64) for m in _MULTIPLIERS], dtype=np.uint64)


def running_fingerprints(table: Floats, seed: str = "", *, after: Fingerprints | None = None) -> Fingerprints:
    """A fingerprint per row that covers all rows up to it: (..., T, K) -> (..., T), 32 hexadecimal digits.

    A row's fingerprint is the same however many rows follow it; a changed, inserted or moved row changes its
    own and all later ones. `seed` stands before the first row. `after` (...) are fingerprints to go on from
    instead: those of rows 0..t−1 followed by those of the other rows after them are those of all rows.
    All NaN are one value, and minus zero is zero.

    Each of two lanes is the polynomial h(t) = M·h(t−1) + d(t) modulo 2^64 over the rows' digests d, computed
    as M^(t+1)·(h(−1) + Σ d(s)·M^−(s+1)).
    """
    start = _seed_words(seed) if after is None else _words_of(after)
    digests = _digests(_bits(table))
    steps = digests.shape[-2]
    forward = np.multiply.accumulate(np.tile(_MULTIPLIERS, (steps, 1)), axis=0)
    backward = np.multiply.accumulate(np.tile(_INVERSES, (steps, 1)), axis=0)
    sums = np.add.accumulate(digests * backward, axis=-2)
    return _texts((sums + start[..., None, :]) * forward)


def joint_fingerprints(left: Fingerprints, right: Fingerprints) -> Fingerprints:
    """One fingerprint for what has two, (P,) and (P,) -> (P,); the order of the two counts."""
    return _texts(_digests(np.concatenate([_words_of(left), _words_of(right)], axis=-1)))


def _bits(table: Floats) -> Words:
    values = np.ascontiguousarray(table, dtype=np.float64) + 0.0
    values[np.isnan(values)] = np.nan
    return values.view(np.uint64)


def _digests(words: Words) -> Words:
    """(..., K) words -> (..., 2): per lane a sum over the columns in which every bit of every cell counts."""
    columns = words.shape[-1]
    salts = np.arange(1, columns + 1, dtype=np.uint64) * _GOLDEN
    mixed = _mixed(words ^ salts)
    odd = _mixed(np.arange(columns, dtype=np.uint64) + _GOLDEN) | np.uint64(1)
    return np.stack([mixed.sum(axis=-1), _mixed(mixed * odd).sum(axis=-1)], axis=-1)


def _mixed(words: Words) -> Words:
    """A one-to-one scrambling of 64 bits. Source: Steele, Lea and Flood 2014 (SplitMix64)."""
    mixed = words + _GOLDEN
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(multiplier)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _seed_words(seed: str) -> Words:
    return np.frombuffer(hashlib.sha256(seed.encode()).digest()[: 8 * _LANES], dtype=">u8").astype(np.uint64)


def _texts(words: Words) -> Fingerprints:
    """(..., 2) words -> (...) hexadecimal texts."""
    return np.frombuffer(words.astype(">u8").tobytes().hex().encode(), dtype=f"S{LENGTH}").reshape(
        words.shape[:-1]
    )


def _words_of(texts: Fingerprints) -> Words:
    """ValueError for texts that are no fingerprints."""
    digits = np.asarray(texts, dtype=f"S{LENGTH}")
    words = np.frombuffer(bytes.fromhex(digits.tobytes().decode("ascii")), dtype=">u8")
    return words.astype(np.uint64).reshape(*digits.shape, _LANES)


def pooled_digests(table: Floats, identities: NDArray[np.int64], present: NDArray[np.bool_]) -> Floats:
    """What the items present on each day say, whatever their order: (A, T, K), (A,), (A, T) -> (T, 2).

    To be columns of a table for `running_fingerprints`. An item that is absent counts for nothing, so that a
    day is the same whatever items come later.
    """
    items, columns = table.shape[0], table.shape[-1]
    starts: Words = identities.astype(np.uint64) * _GOLDEN
    numbers: Words = np.arange(columns, dtype=np.uint64)
    salts = starts[:, None] + numbers
    mixed = _mixed(_bits(table) ^ _mixed(salts).reshape(items, 1, columns)).sum(axis=-1)
    words = np.where(present, mixed, np.uint64(0)).sum(axis=0, dtype=np.uint64)
    halves = [words >> np.uint64(32), words & np.uint64(0xFFFFFFFF)]
    return np.stack(halves, axis=-1).astype(np.float64)
