"""The student against YAMNet's SavedModel, and ours of it: the same sound, batch and threads.

    python benchmarks/embedders.py

Each is given samples and returns its (frames, 1024) embedding, log-mel included, turn by turn in one process:
7 s as from a page, and 31.2 s (64 frames), the block long recordings are heard in. Once with one thread, once
with two, each in a process of its own because TensorFlow takes its threads once. The SavedModel is run by
TensorFlow as ``hub.load`` gives it; ours of it is what ``--embedder yamnet`` runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import _bench

SECONDS = {"clip of 7 s": 7.0, "block of 31.2 s": 31.2}


def one(threads: int, rounds: int) -> dict[str, Any]:
    """All embedders with ``threads`` threads, in this process."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_hub as hub

    from pipeline.audio import load
    from pipeline.embedding.base import frame_count
    from pipeline.embedding.student import StudentEmbedder
    from pipeline.embedding.yamnet import YamnetEmbedder
    from pipeline.settings import get_settings

    settings = get_settings(threads=threads, yamnet_handle=str(_bench.YAMNET))
    yamnet, student = YamnetEmbedder(settings), StudentEmbedder.bundled(settings)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    saved_model = hub.load(str(_bench.YAMNET))
    cry = np.tile(load(_bench.CLIP).samples, 5)
    found: dict[str, Any] = {}
    for name, seconds in SECONDS.items():
        samples = cry[: int(seconds * 16_000)]
        taken = _bench.turn_by_turn(
            {
                "saved_model": lambda s=samples: saved_model(s)[1].numpy(),
                "yamnet": lambda s=samples: yamnet.embed(s),
                "student": lambda s=samples: student.embed(s),
            },
            rounds,
        )
        found[name] = {"frames": frame_count(len(samples)), **_bench.summary(taken, "saved_model")}
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=30)
    options.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    _bench.need(_bench.CLIP, _bench.YAMNET)
    if given.threads:
        print(json.dumps(one(given.threads, given.rounds)))
        return
    by_threads = {}
    for threads in (1, 2):
        command = [sys.executable, __file__, "--threads", str(threads), "--rounds", str(given.rounds)]
        by_threads[str(threads)] = json.loads(_bench.child(command, cores=threads).out.splitlines()[-1])
    size = (_bench.ROOT / "artifacts" / "student" / "student.onnx").stat().st_size
    _bench.save("embedders", {"student_bytes": size, "by_threads": by_threads})


if __name__ == "__main__":
    main()
