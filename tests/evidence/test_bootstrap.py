"""Bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest

from spade_widgets.errors import InputError
from spade_widgets.evidence import bootstrap
from spade_widgets.evidence.bootstrap import Interval, differences, interval


def test_an_interval_of_a_mean_is_about_two_standard_errors_wide() -> None:
    values = np.random.default_rng(3).normal(5, 2, 400)
    found = interval(values.tolist())
    error = values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)
    assert found.count == 400
    narrow = interval(values.tolist(), level=0.5)
    assert narrow.high - narrow.low == pytest.approx(2 * 0.674 * error, rel=0.1)


def test_it_is_seeded_and_needs_no_more_memory_for_more_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).random(50).tolist()
    whole = interval(values)
    assert whole == interval(values)
    assert whole != interval(values, seed=1)
    monkeypatch.setattr(bootstrap, "_CHUNK", 999)
    parts = interval(values)
    assert (parts.low, parts.high) == (pytest.approx(whole.low, abs=0.01), pytest.approx(whole.high, abs=0.01))


def test_pairing_takes_out_what_the_samples_have_in_common() -> None:
    hard = {str(i): i / 50 for i in range(50)}
    better = {name: value + 0.01 for name, value in reversed(hard.items())}
    apart = interval(differences(better, hard))
    assert apart.low == pytest.approx(0.01) == apart.high
    assert not interval(list(better.values())).apart(interval(list(hard.values())))
    assert differences({"a": 1.0, "b": 2.0}, {"b": 0.5}) == [1.5]


def test_apart_means_not_touching() -> None:
    low, high = Interval(1, 0, 2, 9), Interval(4, 3, 5, 9)
    assert low.apart(high)
    assert high.apart(low)
    assert not low.apart(Interval(2, 2, 3, 9))


@pytest.mark.parametrize(
    ("values", "options"), [([], {}), ([1.0, float("nan")], {}), ([1.0], {"draws": 0}), ([1.0], {"level": 1})]
)
def test_what_makes_no_interval_is_said(values: list[float], options: dict) -> None:
    with pytest.raises(InputError):
        interval(values, **options)
