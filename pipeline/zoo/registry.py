"""The zoo's models by name; a module is imported when a model of it is asked for.

A module of the zoo holds ``MODEL``, the class of its one model, or ``MODELS``, a mapping from name to class,
when it serves several names. A class is called as ``cls(classes, **options)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pipeline.errors import SettingsError
from pipeline.zoo.base import DETECTION_CLASSES, Model, Task

# name -> (module below pipeline.zoo, task): known without importing the module, which may be heavy.
_MODULES: dict[str, tuple[str, Task]] = {
    "ensemble108": ("ensemble", "reasons"),
    "ensemble111": ("ensemble", "reasons"),
    "xgb336": ("mfccmel", "reasons"),
    "svm336": ("mfccmel", "reasons"),
    "cryresnet": ("cryresnet", "reasons"),
    "spectrocnn": ("spectrocnn", "reasons"),
    "majority": ("floors", "reasons"),
    "prior": ("floors", "reasons"),
    "melcnn4s": ("melcnn4s", "detection"),
    "yamnet-class": ("yamnet_class", "detection"),
    "level": ("level", "detection"),
    "crylens-yamnet": ("crylens", "detection"),
    "crylens-student": ("crylens", "detection"),
}
NAMES: tuple[str, ...] = tuple(_MODULES)


def names(task: Task | None = None) -> tuple[str, ...]:
    """Names of all models, or of those of one task."""
    return tuple(name for name, (_, its) in _MODULES.items() if task in (None, its))


def task_of(name: str) -> Task:
    """What the named model answers.

    Raises:
        SettingsError: no model of that name.
    """
    return _entry(name)[1]


def class_of(name: str) -> type[Model]:
    """The class of the named model.

    Raises:
        SettingsError: no model of that name.
        ModuleNotFoundError: a library that it needs is not installed.
    """
    module = import_module(f"pipeline.zoo.{_entry(name)[0]}")
    several = getattr(module, "MODELS", None)
    return cast("type[Model]", module.MODEL if several is None else several[name])


def create(name: str, classes: Sequence[str] = DETECTION_CLASSES, **options: Any) -> Model:
    """An unfitted model.

    Args:
        name: one of :data:`NAMES`.
        classes: names of the classes, in the order of the columns of its scores.
        options: of the model, see its class.

    Raises:
        SettingsError: no model of that name, an option that it does not have, or a value it cannot use.
    """
    import inspect

    cls = class_of(name)
    try:
        inspect.signature(cls).bind(tuple(classes), **options)
    except TypeError as error:
        known = [key for key in inspect.signature(cls).parameters if key != "classes"]
        raise SettingsError(
            f"The model '{name}' cannot be made with {options}: {error}. Its options: "
            f"{', '.join(known) or 'none'}."
        ) from None
    return cast(Any, cls)(tuple(classes), **options)


def load(name: str, folder: Path) -> Model:
    """A model of the given name from the folder it was saved to.

    Raises:
        SettingsError: no model of that name.
        ArtifactError: missing, changed or not of this model.
    """
    return class_of(name).load(Path(folder))


def _entry(name: str) -> tuple[str, Task]:
    try:
        return _MODULES[name]
    except KeyError:
        raise SettingsError(f"There is no model '{name}'; known are {', '.join(NAMES)}.") from None
