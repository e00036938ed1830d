"""Concurrent callers share one call, and nothing else."""

import asyncio
from collections.abc import Sequence

import pytest

from incident_manager.domain.errors import StoreUnavailableError
from incident_manager.pipeline.coalesce import Coalescer


class Handler:
    """Records the groups it is given; waits until it may go on."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.called = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def __call__(self, items: Sequence[int]) -> list[str]:
        self.groups.append(list(items))
        self.called.set()
        await self.may_go_on.wait()
        if -1 in items:
            raise ValueError("minus one")
        if -2 in items:
            raise StoreUnavailableError("away", 1.0)
        return [str(item) for item in items]


def weight(item: int) -> int:
    return 100 if item >= 1000 else 1


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def coalescer(handler: Handler) -> Coalescer[int, str]:
    return Coalescer(handler, weigh=weight, limit=10)


async def test_a_lone_caller_is_served_at_once(coalescer: Coalescer[int, str], handler: Handler) -> None:
    assert [await coalescer.submit(1), await coalescer.submit(2)] == ["1", "2"]
    assert handler.groups == [[1], [2]]


async def test_callers_that_come_while_one_is_served_share_the_next_call(
    coalescer: Coalescer[int, str], handler: Handler
) -> None:
    handler.may_go_on.clear()
    first = asyncio.create_task(coalescer.submit(0))
    await handler.called.wait()
    rest = [asyncio.create_task(coalescer.submit(number)) for number in range(1, 5)]
    await asyncio.sleep(0)
    handler.may_go_on.set()
    assert await asyncio.gather(first, *rest) == ["0", "1", "2", "3", "4"]
    assert handler.groups == [[0], [1, 2, 3, 4]]


async def test_groups_are_limited_by_weight_and_a_heavy_one_goes_alone(
    coalescer: Coalescer[int, str], handler: Handler
) -> None:
    items = [*range(12), 1000, 13]
    assert await asyncio.gather(*(coalescer.submit(item) for item in items)) == [str(item) for item in items]
    assert handler.groups == [list(range(10)), [10, 11], [1000], [13]]


async def test_one_callers_fault_is_not_anothers(coalescer: Coalescer[int, str], handler: Handler) -> None:
    outcomes = await asyncio.gather(*(coalescer.submit(item) for item in (1, -1, 2)), return_exceptions=True)
    assert [outcomes[0], outcomes[2]] == ["1", "2"]
    assert isinstance(outcomes[1], ValueError)
    assert handler.groups == [[1, -1, 2], [1], [-1], [2]]


async def test_an_unusable_store_is_not_tried_again_for_each(coalescer: Coalescer[int, str], handler: Handler) -> None:
    outcomes = await asyncio.gather(*(coalescer.submit(item) for item in (1, -2, 2)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
    assert handler.groups == [[1, -2, 2]]


async def test_who_gave_up_before_its_turn_is_left_out(coalescer: Coalescer[int, str], handler: Handler) -> None:
    tasks = [asyncio.create_task(coalescer.submit(number)) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    assert await asyncio.gather(*tasks, return_exceptions=True) != []
    assert handler.groups == [[0, 2]]


async def test_it_goes_on_after_an_error(coalescer: Coalescer[int, str]) -> None:
    with pytest.raises(ValueError, match="minus one"):
        await coalescer.submit(-1)
    assert await coalescer.submit(1) == "1"


async def test_nobody_waits_for_ever_when_the_loop_ends(coalescer: Coalescer[int, str], handler: Handler) -> None:
    handler.may_go_on.clear()
    waiting = [asyncio.create_task(coalescer.submit(number)) for number in range(2)]
    await handler.called.wait()
    waiting.append(asyncio.create_task(coalescer.submit(3)))
    await asyncio.sleep(0)
    [worker] = [task for task in asyncio.all_tasks() if task.get_name() == "coalesced writes"]
    worker.cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
