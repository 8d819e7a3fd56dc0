"""Settings: ``config.yml``, then environment ``CRY_*``, then arguments; the last one wins."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from pipeline.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
CONFIG_FILE = Path("config.yml")  # in the working directory
YAMNET_HUB_HANDLE = "https://tfhub.dev/google/yamnet/1"


class Settings(BaseSettings):
    """Everything a user may set. Each field's title, description and bounds feed help texts and pages."""

    model_config = SettingsConfigDict(env_prefix="CRY_", extra="ignore", env_ignore_empty=True, frozen=True)

    embedder: Literal["auto", "yamnet", "student"] = Field(
        "auto", title="Embedder", description="auto: YAMNet when it is at hand, else the bundled student."
    )
    yamnet_handle: str = Field(
        YAMNET_HUB_HANDLE,
        title="YAMNet handle",
        description="TensorFlow Hub handle or local SavedModel folder.",
    )
    yamnet_timeout_s: float = Field(
        5.0,
        gt=0,
        le=300,
        title="YAMNet time-out",
        description="Longest wait, in seconds, for the hub to answer.",
    )
    detection_threshold: float | None = Field(
        None, ge=0, le=1, title="Detection threshold", description="None: the one shipped with the detector."
    )
    reason_threshold: float = Field(
        0.6,
        ge=0,
        le=1,
        title="Reason threshold",
        description="Below this best score the answer is 'not sure'.",
    )
    min_duration_s: float = Field(0.2, gt=0, title="Shortest audio accepted, in seconds")
    max_duration_s: float = Field(
        25 * 3600.0,
        gt=0,
        title="Longest audio accepted, in seconds",
        description="A day and an hour by default.",
    )
    max_bytes: int = Field(8 * 2**30, gt=0, title="Largest file accepted, in bytes")
    max_upload_bytes: int = Field(200 * 2**20, gt=0, title="Largest upload a page accepts, in bytes")
    threads: int = Field(
        2,
        ge=1,
        le=256,
        title="Inference threads",
        description="Set explicitly: runtimes otherwise count the host's.",
    )
    artifacts_dir: Path = Field(PROJECT_ROOT / "artifacts", title="Folder of trained models")

    serve_token: SecretStr | None = Field(
        None, title="Bearer token", description="None: the service asks for none."
    )
    serve_workers: int = Field(
        2, ge=1, le=64, title="Recordings analysed at once", description="And decoded at once, in processes."
    )
    serve_queue: int = Field(
        64, ge=0, le=10_000, title="Requests that may wait for a worker", description="More are answered 503."
    )
    serve_max_upload_bytes: int = Field(
        50 * 2**20, gt=0, title="Largest upload the service accepts, in bytes"
    )
    serve_max_duration_s: float = Field(
        3600.0, gt=0, title="Longest recording the service accepts, in seconds"
    )
    serve_decode_timeout_s: float = Field(
        30.0, gt=0, title="Longest time for decoding one upload, in seconds"
    )
    serve_decode_memory_mb: int = Field(
        512,
        ge=64,
        title="Memory for decoding one upload, in MiB",
        description="On top of the decoder itself.",
    )
    serve_body_timeout_s: float = Field(
        20.0, gt=0, title="Longest silence of a client while it sends a request, in seconds"
    )
    serve_rate_per_minute: int = Field(
        600, ge=0, title="Requests per minute and client", description="0: as many as it likes."
    )
    serve_max_streams: int = Field(16, ge=0, title="Live streams at once")
    serve_cors_origins: str = Field(
        "", title="Origins whose pages may call", description="Separated by commas; none by default."
    )
    serve_preprocessor_url: str = Field(
        "http://127.0.0.1:8001", title="Where the orchestrator's preprocessor is"
    )
    serve_predictor_url: str = Field("http://127.0.0.1:8002", title="Where the orchestrator's predictor is")
    serve_peer_timeout_s: float = Field(
        60.0, gt=0, title="Longest wait for another role's answer, in seconds"
    )
    serve_shutdown_s: int = Field(30, ge=0, title="Longest time to finish requests when stopped, in seconds")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over ``config.yml`` in the working directory."""
        known = list(settings_cls.model_fields)
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_config(CONFIG_FILE, known))


def _read_config(path: Path, known: list[str]) -> dict[str, Any]:
    """The settings in a YAML file; none when there is no file.

    Raises:
        SettingsError: it cannot be read, is not ``name: value`` lines, or has a name that no setting bears (a
            misspelt setting that is passed over would leave its default in force, unnoticed).
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise SettingsError(f"{path} cannot be read: {reason}. Mend it or remove it.") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SettingsError(f"{path} must hold lines of 'name: value', not {type(found).__name__}.")
    for name in found:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"There are: {', '.join(known)}."
            raise SettingsError(f"{path} sets '{name}', which is no setting; {hint}")
    return found


def get_settings(**overrides: Any) -> Settings:
    """Read the settings; ``None`` overrides are left to the environment and the file.

    Raises:
        SettingsError: a value is out of its bounds or unreadable; names the setting and the value.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        raise SettingsError(
            f"Setting '{name}' cannot be {first.get('input')!r}: {first['msg']}. "
            f"Set it by argument, by CRY_{name.upper()} or in config.yml."
        ) from error
