from __future__ import annotations

import pytest

from harness.errors import WaitAbandoned
from harness.wait import Waiter


def test_a_wait_that_nobody_needs_any_more_ends_after_one_look() -> None:
    looks: list[int] = []

    with pytest.raises(WaitAbandoned, match=r"^gave up waiting for the moon: something else has failed$"):
        Waiter(given_up=lambda: True).until("the moon", lambda: looks.append(1), ready=lambda _state: False, timeout=60)

    assert looks == [1]


def test_what_is_ready_at_the_first_look_is_not_given_up() -> None:
    assert Waiter(given_up=lambda: True).until("the moon", lambda: "up", ready=bool, timeout=60) == "up"
