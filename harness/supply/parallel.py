"""Steps of a supply side by side: the first that fails, or an interrupt, ends all others at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from harness.errors import HarnessError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Steps:
    """Starts steps in threads.

    Attributes:
        first: The error of the step that failed first; what the others then say follows from it.
    """

    def __init__(self, pool: ThreadPoolExecutor, cancel: Callable[[], None]) -> None:
        self.first: BaseException | None = None
        self._pool = pool
        self._cancel = cancel
        self._lock = threading.Lock()

    def start(
        self, step: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Run a step in a thread, as soon as one is free."""

        def run() -> Result:
            try:
                return step(*args, **kwargs)
            except BaseException as error:
                with self._lock:
                    first, self.first = self.first is None, self.first or error
                if first:
                    self._cancel()
                raise

        return self._pool.submit(run)


@contextmanager
def side_by_side(workers: int, *, cancel: Callable[[], None]) -> Iterator[Steps]:
    """Steps in as many threads; leaving the block waits for their ends, which an error brings about.

    Args:
        workers: How many at once.
        cancel: Ends what the steps are doing; returns within seconds.

    Raises:
        HarnessError: Of several errors the first.
    """
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="supply") as pool:
        steps = Steps(pool, cancel)
        try:
            yield steps
        except BaseException as error:
            # Before the pool is left, which waits for its threads.
            pool.shutdown(wait=False, cancel_futures=True)
            # A failure in this thread is the first cause only if none of the steps has failed before.
            first = steps.first
            cancel()
            if first is not None and isinstance(error, HarnessError) and first is not error:
                raise first from None
            raise
