"""An unpickler for joblib files that builds only listed types and calls nothing else.

Listed are what our models hold: estimators of scikit-learn, imbalanced-learn and XGBoost, NumPy and SciPy
arrays, this project's own classes, and a few containers. Functions are refused unless listed by name, because
a pickle may call whatever it can name.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

from pipeline.errors import ArtifactError

_BUILTINS = ("bytearray", "complex", "frozenset", "object", "range", "set", "slice")
_BIT_GENERATORS = ("MT19937", "PCG64", "Philox", "SFC64")
_EXACT_NAMES = frozenset(
    [
        *[("builtins", name) for name in _BUILTINS],
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("copyreg", "_reconstructor"),
        ("joblib.numpy_pickle", "NumpyArrayWrapper"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("numpy.random.bit_generator", "SeedSequence"),
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
        *[(f"numpy.random._{name.lower()}", name) for name in _BIT_GENERATORS],
    ]
)
# Classes that these packages define themselves. Their tests and data-set readers are not needed by any model.
_CLASSES_OF = ("sklearn.", "imblearn.", "xgboost.", "scipy.sparse.", "pipeline.")
_NOT_UNDER = ("sklearn.datasets", "sklearn.externals", "sklearn.utils._testing", "xgboost.testing")
# Constructors that compiled scikit-learn classes pickle themselves with.
_COMPILED_CONSTRUCTORS = re.compile(r"newObj|__pyx_unpickle_\w+")
# What a damaged pickle stream can raise; compressed ones add zlib's.
_BROKEN = (
    *(pickle.UnpicklingError, struct.error, zlib.error, EOFError, ImportError, LookupError),
    *(AttributeError, TypeError, ValueError),
)


def unpickle(data: bytes, label: str) -> Any:
    """Read a joblib file from memory, listed types only.

    Args:
        data: content of a file that ``joblib.dump`` wrote, compressed or not, already verified.
        label: the file's name, for messages.

    Raises:
        ArtifactError: the file names something off the list (code "artifact-unsafe"), or is not readable.
    """
    from joblib.numpy_pickle import NumpyUnpickler
    from joblib.numpy_pickle_utils import _validate_fileobject_and_memmap

    class AllowListUnpickler(NumpyUnpickler):  # type: ignore[misc]
        """joblib's reader, which routes nested object arrays through ``find_class`` too."""

        def find_class(self, module: str, name: str) -> Any:
            if _may_resolve(module, name):
                found = super().find_class(module, name)
                if _is_allowed(module, name, found):
                    return found
            raise ArtifactError(
                f"Model file {label} asks for {module}.{name}, which no model of ours needs, so it was not "
                "loaded. Do not use this file: restore it from the repository or train the model again.",
                code="artifact-unsafe",
            )

    try:
        with (
            _quiet_patch_releases(),
            _validate_fileobject_and_memmap(io.BytesIO(data), "", None) as (stream, _),
        ):
            return AllowListUnpickler("", stream, ensure_native_byte_order=True).load()
    except _BROKEN as error:
        raise ArtifactError(
            f"Model file {label} cannot be read ({error}). Train the model again (crylens train)."
        ) from error


def _may_resolve(module: str, name: str) -> bool:
    """Whether ``module`` may be imported to look ``name`` up; a dotted name would walk attributes."""
    if "." in name:
        return False
    if (module, name) in _EXACT_NAMES or module == "numpy":
        return True
    return module.startswith(_CLASSES_OF) and not module.startswith(_NOT_UNDER) and ".tests" not in module


def _is_allowed(module: str, name: str, found: Any) -> bool:
    """Whether a pickle may use ``found``, what ``module.name`` resolved to."""
    if (module, name) in _EXACT_NAMES:
        return True
    if module == "numpy":
        import numpy as np

        return found in (np.ndarray, np.dtype) or (isinstance(found, type) and issubclass(found, np.generic))
    if isinstance(found, type):
        return found.__module__.startswith(_CLASSES_OF)  # not a class that the module merely imported
    return module.startswith("sklearn.") and bool(_COMPILED_CONSTRUCTORS.fullmatch(name))


@contextlib.contextmanager
def _quiet_patch_releases() -> Iterator[None]:
    """scikit-learn warns about any other patch release; ours refused other minors already."""
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        yield
