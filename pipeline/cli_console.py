"""What the commands say to people: lines and a progress bar, both on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def say(message: str) -> None:
    """One line to people, on standard error, so that results can be piped on."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201


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
