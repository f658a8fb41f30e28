"""What a panel says of predictions, a trace and a picture, as plain values for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from torch import Tensor

from spade_widgets.neuron import Neuron
from spade_widgets.pruning.traces.trace import Trace
from spade_widgets.runtime.morph import Morph
from spade_widgets.visualization import Renderer

State: TypeAlias = Literal["empty", "waiting", "rendering", "stopped", "done"]

#: Classes listed.
TOP = 5


def prediction_rows(names: Sequence[str], dense: Tensor, sparse: Tensor | None) -> list[dict[str, Any]]:
    """The most probable classes; the trace's own first one too, where it is not among them.

    Args:
        names: of the classes.
        dense, sparse: their probabilities, (classes,); `sparse` is None where there is no trace.
    """
    top = dense.topk(min(TOP, len(names))).indices.tolist()
    if sparse is not None and int(sparse.argmax()) not in top:
        top.append(int(sparse.argmax()))
    return [
        {
            "index": i,
            "name": names[i],
            "dense": float(dense[i]),
            "sparse": None if sparse is None else float(sparse[i]),
        }
        for i in top
    ]


def trace_facts(trace: Trace, sparsity: float, seconds: float | None, draft: str = "") -> dict[str, Any]:
    """What a trace is and what it cost.

    Args:
        trace: what is told of.
        sparsity: that was asked for, in [0, 1); where one was looked for instead, what was found counts.
        seconds: that it took, where that is known.
        draft: where it is not what was asked for yet, what it is made with, in few words.
    """
    names = trace.dense.class_names
    return {
        "sample_id": trace.sample.id,
        "sparsity": sparsity if trace.fidelity is None else found_sparsity(trace),
        "kept": trace.kept,
        "total": trace.total,
        "agrees": trace.agreement.agrees,
        "dense_class": names[trace.agreement.dense_class],
        "sparse_class": names[trace.agreement.sparse_class],
        "kl": trace.agreement.kl,
        "seconds": seconds,
        "augmentations": trace.augmentations,
        "solver": trace.solver,
        "sequential": trace.sequential,
        "fidelity": None
        if trace.fidelity is None
        else {"asked": trace.fidelity.asked, "reached": trace.fidelity.reached},
        "draft": draft,
        "dense_layers": len(trace.dense.prunable()) - len(trace.stats()),
        "layers": [
            {"name": row.name, "kept": row.kept, "total": row.total, "error": row.error} for row in trace.stats()
        ],
    }


def found_sparsity(trace: Trace) -> float:
    """How sparse a trace came out that was asked to keep the prediction: what the slider says then."""
    return round(1 - trace.kept / trace.total, 3)


def picture_facts(
    neuron: str | Neuron, state: State, renderer: Renderer | None, steps: int, morph: Morph | None = None
) -> dict[str, Any]:
    """How far a picture has come.

    Args:
        neuron: that it is of.
        state: what is done with it.
        renderer: that makes it, if it was begun.
        steps: that there will be.
        morph: what is on screen in its place.
    """
    shown = morph.renderer if morph else renderer
    return {
        "neuron": str(neuron),
        "state": state,
        "step": renderer.steps_done if renderer else 0,
        "steps": steps,
        "seconds": round(renderer.seconds, 2) if renderer else 0.0,
        "activation": shown.activation if shown else None,
        "dead": bool(shown and shown.dead),
        "morph": {"source": morph.source, "step": morph.steps, "augmentations": morph.under.augmentations}
        if morph
        else None,
    }
