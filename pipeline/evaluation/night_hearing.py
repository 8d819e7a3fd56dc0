"""A night as models hear it: rendered once, heard once by each embedder, and kept by content.

Under ``nights/<key of the night>/`` of the cache lie the sound (16 bit, which is what is judged, about 115 MB
per hour), YAMNet's embeddings and crying scores (about 15 MB per hour), and the timelines of other models.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding.base import EMBEDDING_SIZE, FRAME_SAMPLES, HOP_SAMPLES, embed_in_blocks
from pipeline.embedding.yamnet import CRYING_CLASSES, is_local
from pipeline.evaluation.night_room import SAMPLE_RATE
from pipeline.evaluation.night_sound import BLOCK_S, FloatArray, Night, write_sound
from pipeline.zoo.base import DetectionModel, Timeline
from pipeline.zoo.crylens import Crylens
from pipeline.zoo.listening import listen
from pipeline.zoo.yamnet_class import YamnetClass, YamnetCryingMax, step_scores

if TYPE_CHECKING:
    from pipeline.embedding.base import Embedder
    from pipeline.embedding.yamnet import YamnetEmbedder

# A whole number of YAMNet's hops and of its frames laid end to end (32 frames, 65 hops, 31.2 s).
_YAMNET_BLOCK = int(np.lcm(FRAME_SAMPLES, HOP_SAMPLES))


class Hearing:
    """One night's sound and what was heard in it; made on first use, then read."""

    def __init__(self, night: Night, cache: Path, yamnet: Callable[[], YamnetEmbedder]) -> None:
        """Name the folder; nothing is rendered yet.

        Args:
            yamnet: gives YAMNet when it is needed.
        """
        self.night = night
        self._folder = cache / "nights" / night.key
        self._yamnet = yamnet

    @property
    def sound(self) -> Path:
        """The night's WAV file.

        Raises:
            SettingsError: it cannot be written.
        """
        path = self._folder / "night.wav"
        if not path.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f"night.part-{os.getpid()}.wav")
            write_sound(self.night, unfinished)
            unfinished.replace(path)
        return path

    def blocks(self, samples: int = round(BLOCK_S * SAMPLE_RATE)) -> Iterator[FloatArray]:
        """The sound as it was written, in blocks of so many samples; float32 in [-1, 1]."""
        import soundfile

        with soundfile.SoundFile(self.sound) as file:
            yield from file.blocks(samples, dtype="float32")

    def timeline(self, model: DetectionModel, key: str) -> Timeline:
        """What a model scores along the night.

        Args:
            key: names the model's weights; scores are kept under it where nothing else keeps the work.
        """
        if isinstance(model, YamnetCryingMax):
            return model.of_steps(self._by_yamnet()["steps"])
        if isinstance(model, YamnetClass):
            return model.of_frames(self._by_yamnet()["crying"])
        if isinstance(model, Crylens) and model.embedding == "yamnet":
            return model.of_embeddings(self._by_yamnet()["embeddings"])
        if isinstance(model, Crylens):
            return model.of_embeddings(self._by_embedder(model.embedder))
        return self._by_model(model, key)

    def _by_yamnet(self) -> dict[str, NDArray[Any]]:
        """Embeddings (frames, 1024) float16; the crying classes by frame and by step, (n, 3) float32."""
        mark = yamnet_mark()
        names = ("embeddings", "crying", "steps")
        if not all((self._folder / f"yamnet-{mark}-{name}.npy").is_file() for name in names):
            yamnet = self._yamnet()
            steps: list[NDArray[np.float32]] = []

            def sound() -> Iterator[FloatArray]:
                for block in self.blocks(_YAMNET_BLOCK):
                    steps.append(step_scores(yamnet, block))
                    yield block

            def hear(samples: FloatArray) -> FloatArray:
                embeddings, scores = yamnet.embed_and_score(samples)
                return np.concatenate([embeddings, scores[:, CRYING_CLASSES]], axis=1)

            heard = [part.astype(np.float16) for part in embed_in_blocks(sound(), hear)]
            rows = np.concatenate(heard)
            self._keep(f"yamnet-{mark}-embeddings", rows[:, :EMBEDDING_SIZE])
            self._keep(f"yamnet-{mark}-crying", rows[:, EMBEDDING_SIZE:].astype(np.float32))
            self._keep(f"yamnet-{mark}-steps", np.concatenate(steps))
        return {name: self._kept(f"yamnet-{mark}-{name}") for name in names}

    def _by_embedder(self, embedder: Embedder) -> NDArray[Any]:
        """(frames, 1024) float16 by an embedder that has a checksum."""
        name = f"student-{getattr(embedder, 'checksum', embedder.name)[:16]}"
        if not (self._folder / f"{name}.npy").is_file():
            heard = [part.astype(np.float16) for part in embedder.embed_blocks(self.blocks())]
            self._keep(name, np.concatenate(heard))
        return self._kept(name)

    def _by_model(self, model: DetectionModel, key: str) -> Timeline:
        """The timeline of a model that hears the sound itself."""
        name = f"{model.name}-{key}"
        if not (self._folder / f"{name}.npy").is_file():
            heard = listen(model, self.blocks())
            self._keep(name, np.array([heard.hop_s, heard.window_s, *heard.scores]))
        hop_s, window_s, *scores = self._kept(name)
        return Timeline(np.asarray(scores, np.float64), float(hop_s), float(window_s))

    def _keep(self, name: str, array: NDArray[Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f"{name}.part-{os.getpid()}.npy"
        np.save(unfinished, array)
        unfinished.replace(self._folder / f"{name}.npy")

    def _kept(self, name: str) -> NDArray[Any]:
        return np.asarray(np.load(self._folder / f"{name}.npy", mmap_mode="r"))


@functools.cache
def yamnet_mark() -> str:
    """Names the YAMNet of the settings: by its weights when it is a folder, else by its address."""
    from pipeline.settings import get_settings

    handle = get_settings().yamnet_handle
    digest = hashlib.sha256(b"" if is_local(handle) else handle.encode())
    if is_local(handle):
        for path in sorted(Path(handle).rglob("*")):
            if path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
