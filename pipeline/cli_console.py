"""What the commands say to people: lines and a progress bar, both on standard error."""

from __future__ import annotations

import _thread
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.settings import Settings


def say(message: str) -> None:
    """One line to people, on standard error, so that results can be piped on."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


class Interrupts:
    """Ctrl-C that is not lost: a KeyboardInterrupt raised inside a C library's call-back is dropped there.

    libsndfile reads through such call-backs; one that is interrupted looks like the end of the file. The drop
    is seen here, the interrupt sent again, and ``check`` keeps a result made meanwhile from being told.
    """

    def __init__(self) -> None:
        self._dropped = False

    def watch(self) -> None:
        """Take note of dropped interrupts from now on."""
        sys.unraisablehook = self._unraisable

    def check(self) -> None:
        """Raise KeyboardInterrupt when one was dropped."""
        if self._dropped:
            raise KeyboardInterrupt

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(unraisable)
            return
        self._dropped = True
        again = threading.Timer(0.02, _thread.interrupt_main)
        again.daemon = True
        again.start()


interrupts = Interrupts()


@contextmanager
def quiet_start(settings: Settings) -> Iterator[None]:
    """Keep start-up notes that C++ libraries write past Python off standard error while models load.

    A first use that takes long is announced; on a terminal, so is every start.
    ``TF_CPP_MIN_LOG_LEVEL`` does not reach all of them; whoever sets it gets to see everything. When loading
    fails unexpectedly, what was held back is shown after all.
    """
    from pipeline.embedding import first_wait
    from pipeline.errors import CryError

    words = first_wait(None, settings)
    if words or sys.stderr.isatty():
        say(words or "Getting ready to listen…")
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    descriptor = 2
    kept = os.dup(descriptor)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), descriptor)
        try:
            yield
        except CryError:
            raise
        except Exception:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, descriptor)
            os.close(kept)


@contextmanager
def progress(*, results_on_terminal: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A bar where standard error is a terminal, else nothing.

    Args:
        results_on_terminal: results are printed meanwhile, and lifted above a bar on the same terminal.

    Yields:
        A function to be called with (what is being done, steps done, steps in all).
    """
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    lift = results_on_terminal and sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=lift) as bar:
        task = bar.add_task("", total=None)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=escape(what), completed=done, total=total)

        yield report
