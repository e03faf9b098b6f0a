"""Which rows leave a set so that no cluster lies in two.

Shape legend: N rows of all sets but the last, P pairs among them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sscd_cli.matching.forest import components
from sscd_cli.matching.join import Pairs
from sscd_cli.matching.products import Indices


def leaving(set_N: Indices, pairs: Pairs, touches_N: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the rows whose clusters lie in several sets, bool (N,): these go to the last set.

    Args: set_N: the number of each row's set. pairs: of copies among the rows. touches_N: rows
        with a copy in the last set.
    """
    component, _ = components(len(set_N), pairs)
    component = np.where(component < 0, np.arange(len(set_N)), component)
    first, last = np.full(len(set_N), len(set_N)), np.full(len(set_N), -1)
    np.minimum.at(first, component, set_N)
    np.maximum.at(last, component, set_N)
    mixed = first < last
    np.logical_or.at(mixed, component, touches_N)
    out: NDArray[np.bool_] = mixed[component]
    return out
