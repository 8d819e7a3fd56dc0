"""Keeps the linear algebra behind NumPy to one thread while sound is heard.

OpenBLAS starts a thread per core of the host, whatever a container may use, and after each product these spin
for a while in wait of the next. The products here are small: shared out they are no faster, and the spinning
takes the cores from the threads that hear (``settings.threads``): a long recording took twice the time.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

_lock = threading.Lock()
_limit = ExitStack()
_users = 0


@lru_cache(maxsize=2)
def _libraries(scipy_too: bool) -> Any:
    """A handle on the libraries that are loaded: NumPy's, and SciPy's own once it is there."""
    del scipy_too
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One thread for linear algebra, in the whole process, until the last who asked for it has left."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            libraries = _libraries("scipy.linalg" in sys.modules)
            _limit.enter_context(libraries.limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _limit.close()
