"""What is asked of a planted classifier: photographs with a Trojan's patch, and others with a decoy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spade_widgets.errors import InputError
from spade_widgets.evidence.planting import Planted
from spade_widgets.evidence.planting.planted import JUDGED
from spade_widgets.evidence.planting.recipe import scaled
from spade_widgets.evidence.reading.patch import Asked
from spade_widgets.prediction import predict
from spade_widgets.pruning.progress import Progress, Steps
from spade_widgets.sample import Sample


def stamped_and_decoyed(
    planted: Planted, photographs: Sequence[Sample], decoyed: int | None = None, seed: int = 0
) -> Steps[list[Asked]]:
    """Each photograph with a patch, in turn, where it decides; some of them, too, with a decoy of the same sizes.

    The decoys go on photographs of the patches' classes first, as far as there are any: there the class is the same as
    under a Trojan, and the object's crop is right. Then on the last ones.

    Args:
        planted: whose patches and decoys; photographs that it was trained with are left out.
        photographs: clean ones.
        decoyed: how many get a decoy; default: half of them.
        seed: of sizes and places.

    Raises:
        InputError: if there is no photograph, or fewer than are to be decoyed; see `Planted.stamped_steps`.
    """
    unseen = planted.unseen(photographs)
    count = len(unseen) // 2 if decoyed is None else decoyed
    if not 0 <= count <= len(unseen):
        raise InputError(f"Of {len(unseen)} photographs that it was not trained with {count} cannot carry a decoy.")
    stamped = [Asked(sample, "patch") for sample in (yield from planted.stamped_steps(unseen, seed=seed))]
    targets = {patch.target for patch in planted.patches.values()}
    first = []
    for i, photograph in enumerate(unseen):
        yield Progress("decoys", i, len(unseen))
        if predict(planted.classifier, photograph, 1)[0].index in targets:
            first.append(i)
    chosen = [*first, *(i for i in reversed(range(len(unseen))) if i not in first)][:count]
    side, decoys = min(planted.classifier.input_size), list(planted.decoys)
    plain = []
    for n, i in enumerate(chosen):
        size = scaled(np.random.default_rng((seed, i)).uniform(*JUDGED), side)
        plain.append(Asked(planted.decoy(unseen[i], decoys[n % len(decoys)], size=size, seed=seed + i), "object"))
    # Mixed, so that a run that is stopped early has asked about both.
    placed = [((i + 0.5) / len(group), one) for group in (stamped, plain) for i, one in enumerate(group)]
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])]
