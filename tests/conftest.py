"""What every test may ask for: the shared real audio, one cry, one sound that is none, and YAMNet.

The audio is not part of the repository. It is looked for in ``CRY_SHARED``, else in ``shared`` beside the
checkout; tests that need it are skipped, with that reason, where it is absent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pipeline.embedding.yamnet import YamnetEmbedder

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CRY_SHARED") or ROOT.parent / "shared").resolve()


def _present(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"not found: {path} (put the shared folder beside the checkout or set CRY_SHARED)")
    return path


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the settings or the caches of the person who runs it; those that need one set it.

    What is worked out once is shared by all processes of a run: the first to need YAMNet converts it.
    """
    base = tmp_path_factory.getbasetemp()
    shared_by_all = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CRY_") and name != "CRY_SHARED"]:
            patch.delenv(name)
        patch.setenv("XDG_CACHE_HOME", str(shared_by_all / "cache"))
        patch.setenv("TFHUB_CACHE_DIR", str(tmp_path_factory.mktemp("hub-cache")))
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Connections leave this machine in no test, so that results do not depend on a network being there."""
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise OSError(101, f"Network is unreachable ({address[0]}: tests connect to this machine only)")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", only_here)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real audio and models."""
    return _present(SHARED)


@pytest.fixture(scope="session")
def a_cry(shared: Path) -> Path:
    """Seven seconds of a plain cry, FLAC at 8 kHz, from Donate-a-Cry."""
    name = "035c6b30-a145-42b9-8d0f-445cd9003d2c-1435948197257-1.7-m-04-hu.flac"
    return _present(shared / "data" / "donateacry" / "hungry" / name)


@pytest.fixture(scope="session")
def another_cry(shared: Path) -> Path:
    """Five seconds of a plain cry, Ogg at 32 kHz, from ESC-50."""
    return _present(shared / "data" / "esc50" / "crying_baby" / "1-22694-A.ogg")


@pytest.fixture(scope="session")
def a_non_cry(shared: Path) -> Path:
    """Five seconds of a vacuum cleaner, Ogg at 32 kHz, from ESC-50."""
    return _present(shared / "data" / "esc50" / "vacuum_cleaner" / "1-100210-A.ogg")


@pytest.fixture(scope="session")
def yamnet_dir() -> Path:
    """YAMNet as a TensorFlow SavedModel; name it to the pipeline by ``CRY_YAMNET_HANDLE``."""
    return _present(SHARED / "models" / "yamnet_savedmodel")


@pytest.fixture(scope="session")
def yamnet(yamnet_dir: Path) -> YamnetEmbedder:
    """YAMNet, loaded once for all tests that need it."""
    from pipeline.embedding.yamnet import YamnetEmbedder
    from pipeline.settings import get_settings

    return YamnetEmbedder(get_settings(yamnet_handle=str(yamnet_dir)))


@pytest.fixture(scope="session")
def saved_model(yamnet_dir: Path) -> Any:
    """YAMNet as ``hub.load`` gives it, run by TensorFlow: (n,) samples to scores, embeddings, log-mel."""
    hub = pytest.importorskip("tensorflow_hub")
    return hub.load(str(yamnet_dir))


@pytest.fixture
def without_tensorflow(tmp_path: Path) -> dict[str, str]:
    """An environment for processes that, with all they start, find no TensorFlow."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\nsys.modules['tensorflow'] = sys.modules['tensorflow_hub'] = None\n"
    )
    return {**os.environ, "PYTHONPATH": str(folder)}
