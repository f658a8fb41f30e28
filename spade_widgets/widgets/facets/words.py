"""How sure it is that there are so many facets, and how stable they are, in plain words."""

from __future__ import annotations

from spade_widgets.inspection.facets import Facets
from spade_widgets.inspection.facets.grouping import is_split
from spade_widgets.runtime.facets import ENOUGH

#: Stability from which on it is called so.
STABLE, FAIRLY = 0.9, 0.7


def sentence(facets: Facets, count: int | None) -> str:
    """What is to be thought of these facets.

    Args:
        facets: what was found.
        count: how many were asked for; None for as many as there are.
    """
    n, many = len(facets.examples), len(facets)
    if n < ENOUGH and (count is None or facets.own):
        told = f"Only {n} photograph{'s excite' if n != 1 else ' excites'} this neuron: too few to tell facets from"
        return f"{told} chance. Give a folder of photographs (at least {ENOUGH} that excite it)."
    if facets.own:
        return f"{many} facets of your own. {clearness(facets)} {steadiness(facets)}"
    if many == 1:
        if count == 1:
            return f"All {n} examples together, as you asked."
        return f"One facet: the groups are no clearer than chance. {odds(facets)}"
    asked = "" if count is None else ", as you asked"
    return f"{many} facets{asked}: {clearness(facets)} {odds(facets)} {steadiness(facets)}".replace("  ", " ")


def clearness(facets: Facets) -> str:
    """Whether the groups are clearer than those of data without groups."""
    if facets.own:
        return f"They part the examples with a silhouette of {facets.silhouette:.2f} (1: wholly apart, 0: not at all)."
    if not facets.null.size:
        return "whether they are more than chance cannot be said."
    if is_split(facets.silhouette, facets.null):
        return "they are clearer than chance."
    return "they are no clearer than chance."


def odds(facets: Facets) -> str:
    """How many data without groups fall apart as clearly."""
    draws = len(facets.null)
    if not draws:
        return ""
    as_clear = int((facets.null >= facets.silhouette).sum())
    told = "none" if as_clear == 0 else "all" if as_clear == draws else str(as_clear)
    verb = "falls" if as_clear in (0, 1) else "fall"
    return f"Of {draws} shuffled copies, which have no groups, {told} {verb} apart as clearly."


def steadiness(facets: Facets) -> str:
    """How much of the groups is found again with half of the examples."""
    value = facets.stability
    if value >= STABLE:
        return f"Half of the examples give the same facets (agreement {value:.2f} of 1)."
    if value >= FAIRLY:
        return f"Half of the examples give nearly the same facets (agreement {value:.2f} of 1)."
    return f"Not stable: half of the examples give other facets (agreement {value:.2f} of 1)."
