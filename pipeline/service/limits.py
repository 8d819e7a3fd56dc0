"""How much is done at once, how much may wait, and how often one client may ask."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pipeline.service.problems import Problem, busy

_MOST_CLIENTS = 10_000
_MOST_RETRY_AFTER_S = 60


class Admission:
    """A bounded number at work, a bounded number waiting, and an honest no to the rest.

    Args:
        workers: how many are at work at once.
        queue: how many may wait.
    """

    def __init__(self, workers: int, queue: int) -> None:
        self._workers, self._queue = workers, queue
        self._free = asyncio.Semaphore(workers)
        self._took_s = 0.5  # running mean of what one takes
        self.waiting = 0
        self.running = 0

    @property
    def retry_after_s(self) -> int:
        """Seconds after which there should be room again."""
        expected = (self.waiting + 1) * self._took_s / self._workers
        return min(_MOST_RETRY_AFTER_S, max(1, math.ceil(expected)))

    def require_room(self) -> None:
        """Refuse now what would be refused later.

        Raises:
            Problem: the queue is full (503, Retry-After).
        """
        if self._free.locked() and self.waiting >= self._queue:
            raise busy(self.retry_after_s)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it.

        Raises:
            Problem: the queue is full (503, Retry-After).
        """
        self.require_room()
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        began = time.monotonic()
        try:
            yield
        finally:
            self.running -= 1
            self._took_s += 0.1 * (time.monotonic() - began - self._took_s)
            self._free.release()


class RateLimit:
    """A token bucket per client: so many requests a minute, a tenth of them at once (at least 100).

    Args:
        per_minute: requests; 0 refuses none.
        clock: seconds, never going back.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._burst = float(min(per_minute, max(100, per_minute // 10)))
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def take(self, client: str) -> None:
        """Count a request of a client.

        Args:
            client: its address. Of IPv6 the first half counts: who has one address there has 2**64.

        Raises:
            Problem: it has no more for now (429, Retry-After).
        """
        if not self._rate:
            return
        now, client = self._clock(), _site_of(client)
        tokens, then = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        enough = tokens >= 1
        self._buckets[client] = (tokens - 1 if enough else tokens, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)  # who asked least recently
        if not enough:
            wait = math.ceil((1 - tokens) / self._rate)
            raise Problem(
                "access/too-many-requests",
                f"{round(self._rate * 60)} requests a minute are allowed.",
                headers={"Retry-After": str(max(1, wait))},
            )


def _site_of(client: str) -> str:
    if ":" not in client:
        return client
    try:
        address = ipaddress.IPv6Address(client)
    except ValueError:
        return client
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address.packed[:8] + bytes(8), 64)))
