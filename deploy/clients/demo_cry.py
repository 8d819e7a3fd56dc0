"""Writes the demo cry that the examples send: seven seconds, synthesised, nobody's baby.

python deploy/clients/demo_cry.py cry.wav
"""

import sys
from pathlib import Path

import soundfile

from pipeline.audio import SAMPLE_RATE
from pipeline.synthesis import DEMOS

path = Path(sys.argv[1] if len(sys.argv) > 1 else "cry.wav")
soundfile.write(path, DEMOS["cry"].make().samples, SAMPLE_RATE, subtype="PCM_16")
sys.stderr.write(f"wrote {path}\n")
