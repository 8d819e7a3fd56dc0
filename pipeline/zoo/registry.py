"""The zoo's models by name; a module is imported when a model of it is asked for.

A module of the zoo holds ``MODEL``, the class of its one model, or ``MODELS``, a mapping from name to class,
when it serves several names. A class is called as ``cls(classes, **options)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.zoo.base import Model, Task


class _Entry(NamedTuple):
    """What is known of a model without importing its module, which may be heavy."""

    module: str
    task: Task
    summary: str


_MODELS: dict[str, _Entry] = {
    "ensemble108": _Entry("ensemble", "reasons", "our reasons model before calibration, 108 features"),
    "ensemble111": _Entry("ensemble", "reasons", "the same on 111 features"),
    "xgb336": _Entry("mfccmel", "reasons", "XGBoost on 336 MFCC and log-mel statistics"),
    "svm336": _Entry("mfccmel", "reasons", "RBF support vector machine on the same 336"),
    "cryresnet": _Entry("cryresnet", "reasons", "ResNet-18 on mel spectrograms, 8 kHz, 7 s"),
    "spectrocnn": _Entry("spectrocnn", "reasons", "small CNN on 32 x 32 spectrograms, 16 kHz, 8 s"),
    "majority": _Entry("floors", "reasons", "always the commonest reason: a floor"),
    "prior": _Entry("floors", "reasons", "always the shares of the reasons: a floor"),
    "melcnn4s": _Entry("melcnn4s", "detection", "cry or not on 4 s log-mel clips, a small CNN"),
    "yamnet-class": _Entry("yamnet_class", "detection", "YAMNet's own classes for crying, no training"),
    "level": _Entry("level", "detection", "a sound-level threshold, as shop monitors use it"),
    "crylens-yamnet": _Entry("crylens", "detection", "our detector on YAMNet's embedding"),
    "crylens-student": _Entry("crylens", "detection", "our detector on the bundled embedding"),
    "crylens-yamnet-single": _Entry("crylens", "detection", "ours on YAMNet's, each window by itself"),
    "crylens-student-single": _Entry("crylens", "detection", "ours on the bundled, each window by itself"),
}
NAMES: tuple[str, ...] = tuple(_MODELS)


def names(task: Task | None = None) -> tuple[str, ...]:
    """Names of all models, or of those of one task."""
    return tuple(name for name, entry in _MODELS.items() if task in (None, entry.task))


def task_of(name: str) -> Task:
    """What the named model answers.

    Raises:
        SettingsError: no model of that name.
    """
    return _entry(name).task


def summary_of(name: str) -> str:
    """The named model in a line.

    Raises:
        SettingsError: no model of that name.
    """
    return _entry(name).summary


def class_of(name: str) -> type[Model]:
    """The class of the named model.

    Raises:
        SettingsError: no model of that name.
        ModuleNotFoundError: a library that it needs is not installed.
    """
    module = import_module(f"pipeline.zoo.{_entry(name).module}")
    several = getattr(module, "MODELS", None)
    return cast("type[Model]", module.MODEL if several is None else several[name])


def create(name: str, classes: Sequence[str] | None = None, **options: Any) -> Model:
    """An unfitted model.

    Args:
        name: one of :data:`NAMES`.
        classes: names of the classes, in the order of the columns of its scores; those of detection when
            None.
        options: of the model, see its class.

    Raises:
        SettingsError: no model of that name, an option that it does not have, or a value it cannot use.
    """
    import inspect

    from pipeline.zoo.base import DETECTION_CLASSES

    cls = class_of(name)
    classes = DETECTION_CLASSES if classes is None else classes
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


def _entry(name: str) -> _Entry:
    try:
        return _MODELS[name]
    except KeyError:
        raise SettingsError(f"There is no model '{name}'; known are {', '.join(NAMES)}.") from None
