"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

PASSWORD = "s3cr&t-word"


def programs() -> Path | None:
    """Where initdb and pg_ctl are; None: nowhere."""
    found = shutil.which("initdb")
    places = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return places[-1].resolve().parent if places else None


class PostgresServer:
    """A server with a database of its own, on a free port of this computer, while the context lasts."""

    def __init__(self, where: Path) -> None:
        self._where = where
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self) -> PostgresServer:
        # Short: the name of a socket may have a hundred characters.
        self._folder = Path(tempfile.mkdtemp(prefix="crylens-pg-"))
        words = self._folder / "password"
        words.write_text(PASSWORD)
        if not os.geteuid():  # as root it does not run
            for path in (self._folder, words):
                shutil.chown(path, "postgres", "postgres")
        self._run("initdb", "-U", "crylens", "-A", "scram-sha-256", "--pwfile", words, "-E", "UTF8", "-N")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """Of a database."""
        return f"postgresql://crylens:{password.replace('&', '%26')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Begin to serve."""
        options = f"-k {self._folder} -h 127.0.0.1 -p {self.port}"
        self._run("pg_ctl", "start", "-w", "-l", self._folder / "log", "-o", options)

    def stop(self) -> None:
        """As when the computer that it runs on is switched off."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate")

    def _run(self, name: str, *arguments: object) -> None:
        command = [str(self._where / name), "-D", str(self._folder / "data"), *map(str, arguments)]
        if not os.geteuid():
            command = ["runuser", "-u", "postgres", "--", *command]
        done = subprocess.run(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
