"""The store: what is kept, and what goes first."""

from __future__ import annotations

import threading

from spade_widgets.runtime.store import Store


def test_what_was_put_is_found() -> None:
    store = Store(100)
    value = object()
    assert store.put(("a", 1), value, 10) is value
    assert store.get(("a", 1)) is value
    assert ("a", 1) in store
    assert store.get(("a", 2)) is None
    assert ("a", 2) not in store


def test_the_least_recently_used_goes_first_when_the_bytes_are_too_many() -> None:
    store = Store(100)
    store.put("old", 1, 40)
    store.put("used", 2, 40)
    assert store.get("old") == 1  # now "used" is the one that was used least recently
    store.put("new", 3, 40)
    assert store.get("used") is None
    assert (store.get("old"), store.get("new")) == (1, 3)


def test_a_large_one_takes_the_place_of_several() -> None:
    store = Store(100)
    for i in range(10):
        store.put(i, i, 10)
    store.put("large", "large", 75)
    assert [i for i in range(10) if i in store] == [8, 9]
    assert store.get("large") == "large"


def test_what_is_larger_than_the_store_is_not_kept_and_pushes_nothing_out() -> None:
    store = Store(100)
    store.put("small", 1, 100)
    assert store.put("huge", 2, 101) == 2
    assert store.get("huge") is None
    assert store.get("small") == 1


def test_a_new_value_replaces_the_old_one_also_when_it_is_too_large() -> None:
    store = Store(100)
    store.put("key", 1, 60)
    store.put("key", 2, 60)  # 120 in all, were both counted
    assert store.get("key") == 2
    store.put("other", 3, 40)
    assert store.get("key") == 2
    store.put("key", 4, 101)
    assert store.get("key") is None  # rather nothing than what is no longer so
    assert store.get("other") == 3


def test_several_threads_at_once() -> None:
    store = Store(1000)
    wrong: list[object] = []

    def use(thread: int) -> None:
        try:
            for i in range(2000):
                store.put((thread, i % 50), i, 7)
                found = store.get((thread, i % 50))
                if found is not None and found != i:
                    wrong.append(found)
                _ = (thread + 1, i % 50) in store
        except Exception as error:  # noqa: BLE001 - whatever a race raises
            wrong.append(error)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert sum(((n, i) in store) for n in range(4) for i in range(50)) <= 1000 // 7
