"""CryLens: is this a baby crying, when, and how far can the sound say why?

``CryPipeline`` is the way in; it is imported on first use so that ``import pipeline`` stays light.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.analysis import Analysis, CryPipeline
    from pipeline.errors import CryError

# ONNX Runtime's official builds report to their maker unless this is set before they are loaded. Nothing
# leaves the machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
__all__ = ["Analysis", "CryError", "CryPipeline", "__version__"]

_HOMES = {"Analysis": "analysis", "CryPipeline": "analysis", "CryError": "errors"}


def __getattr__(name: str) -> Any:
    """Import public names lazily (PEP 562)."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"pipeline.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
