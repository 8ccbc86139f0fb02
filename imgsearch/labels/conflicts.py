"""Where a person's name stands against the names around it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imgsearch.labels.votes import Voters, Votes
from imgsearch.vectors import Ids

LEAST_SHARE = 0.6


class Conflicts(NamedTuple):
    """Named images whose neighbours have another name, the clearest first: ``rows`` (k,) int64, places among those that
    were voted on; ``instead`` (k,) int64, the neighbours' label; ``share`` (k,) float32 of the voters that have it."""

    rows: Ids
    instead: Ids
    share: NDArray[np.float32]


def conflicts(labels: Ids, votes: Votes, voters: Voters, at_most: int) -> Conflicts:
    """``labels`` (n,): what a person said; ``votes``: of the others about the same images (``votes.held_out``).

    The voters of the other name must be at least ``LEAST_SHARE`` of all. Order: raw confidence, then row.
    """
    every_label = np.concatenate([voters.labels, voters.cluster_labels, [-1]])
    backing = (every_label[votes.voters] == votes.labels[:, None]) & (votes.voters >= 0)
    share = backing.sum(axis=1) / np.maximum((votes.voters >= 0).sum(axis=1), 1)
    against = np.flatnonzero((votes.labels >= 0) & (votes.labels != labels) & (share >= LEAST_SHARE))
    rows = against[np.argsort(-votes.confidence[against], kind="stable")][:at_most]
    return Conflicts(rows, votes.labels[rows], share[rows].astype(np.float32))
