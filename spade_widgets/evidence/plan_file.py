"""Plans in files: what `tune` writes, and what keeps a plan from being judged on the samples that it was tuned on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spade_widgets.errors import InputError, first_line
from spade_widgets.sample import Sample


@dataclass(frozen=True)
class PlanFile:
    """A plan with where it comes from.

    Attributes:
        plan: layer or pattern → sparsity; what `sw.trace(plan=…)` takes.
        tuned_on: `picture_id` of the samples that it was tuned on; empty if it was not tuned.
        origin: how it was tuned; JSON.
    """

    plan: Mapping[str, float]
    tuned_on: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """As JSON: `plan`, then how it came about, then `tuned_on`."""
        whole = {"plan": dict(self.plan), **self.origin, "tuned_on": list(self.tuned_on)}
        return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @staticmethod
    def read(path: Path | str) -> PlanFile:
        """Read a file that `tune` wrote, or one that holds layers and sparsities only: `{"layer4": 0.95}`.

        Raises:
            InputError: if there is none, or it holds something else.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"The plan '{path}' cannot be read: {error.strerror}.") from error
        return PlanFile.parse(content, str(path))

    @staticmethod
    def parse(content: bytes, called: str) -> PlanFile:
        """The same of a file's bytes. `called`: the file's name, for errors.

        Raises:
            InputError: as `read`.
        """
        try:
            whole = json.loads(content.decode())
        except (ValueError, RecursionError) as error:
            raise InputError(f"The plan '{called}' is no JSON: {first_line(error)}.") from error
        return PlanFile.of(whole, f" '{called}'")

    @staticmethod
    def of(whole: Any, called: str = "") -> PlanFile:
        """The same of what a file's JSON says.

        Raises:
            InputError: if it is something else.
        """
        nested = isinstance(whole, Mapping) and isinstance(whole.get("plan"), Mapping)
        plan = whole["plan"] if nested else whole
        tuned_on = whole.get("tuned_on", []) if nested else []
        numbers = isinstance(plan, Mapping) and all(type(v) in (int, float) for v in plan.values())
        names = isinstance(tuned_on, list) and all(isinstance(v, str) for v in tuned_on)
        if not numbers or not names:
            raise InputError(f'The plan{called} must say a sparsity for each layer: {{"layer4": 0.95, "fc": 0.9}}.')
        origin = {k: v for k, v in whole.items() if k not in ("plan", "tuned_on")} if nested else {}
        return PlanFile({name: float(value) for name, value in plan.items()}, tuple(tuned_on), origin)

    def check_apart(self, samples: Sequence[Sample]) -> None:
        """Samples that a plan was tuned on say nothing of how good it is.

        Raises:
            InputError: if one of these was among them.
        """
        seen = frozenset(self.tuned_on)
        for sample in samples:
            if picture_id(sample) in seen:
                raise InputError(
                    f"'{sample.title}' is one of the {len(seen)} samples that the plan was tuned on, so it cannot be "
                    "in the table: judge on others."
                )


def picture_id(sample: Sample) -> str:
    """16 hexadecimal digits that name a picture: equal for equal pixels, whatever its title, label and mask."""
    digest = hashlib.sha256(repr(sample.image.size).encode())
    digest.update(sample.image.tobytes())
    return digest.hexdigest()[:16]
