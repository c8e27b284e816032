"""Settings of the server: command-line flags and `WIDESR_*` variables, checked in the same way."""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from widesr.errors import UsageError
from widesr.pictures.picture import MAX_PIXELS
from widesr.system.paths import cache_folder
from widesr.system.text import parse_size

_GIB = 2**30
_LEAST_MEMORY = _GIB
"""Bytes for the process, its runtimes, one network with small tiles, and some pictures."""
_LEAST_TOKEN = 16
"""The fewest characters of a token, which nobody should guess."""
_USUAL_MEMORY = 4 * _GIB
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def _parsed_size(value: object) -> object:
    """Read a size such as "512M" or "2G"; a number alone is in bytes."""
    size = parse_size(str(value))
    return value if size is None else size


def _split(value: object) -> object:
    return (
        [each.strip() for each in value.split(",") if each.strip()]
        if isinstance(value, str)
        else value
    )


def _long_enough(token: SecretStr) -> SecretStr:
    if len(token) < _LEAST_TOKEN:
        raise ValueError(f"expected at least {_LEAST_TOKEN} characters, got {len(token)}")
    return token


Size = Annotated[int, BeforeValidator(_parsed_size), Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=10**8, allow_inf_nan=False)]


def memory_of_machine() -> int:
    """Return the bytes that this process may use: the machine's memory, or less in a container."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _CGROUP_LIMITS:
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text))
    return min(found)


def _usual_memory() -> int:
    return max(min(_USUAL_MEMORY, memory_of_machine() // 2), _LEAST_MEMORY)


class ServeSettings(BaseSettings):
    """All that decides how a server behaves."""

    model_config = SettingsConfigDict(
        env_prefix="WIDESR_", frozen=True, extra="forbid", env_ignore_empty=True
    )

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    """The port to listen on; 0 takes any free one."""
    token: Annotated[SecretStr, AfterValidator(_long_enough)] | None = None
    """The secret that clients must send, as `Authorization: Bearer TOKEN`."""
    no_auth: bool = False
    """True to listen without a token on an address that other machines reach."""
    allow_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Names by which browsers may reach the server, beside its address and localhost."""
    data: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=lambda: cache_folder() / "serve"
    )
    """The folder of jobs, pictures and results; nothing is written elsewhere."""
    max_memory: Annotated[Size, Field(ge=_LEAST_MEMORY)] = Field(default_factory=_usual_memory)
    """The most memory that the process may take, in bytes."""
    max_body: Size = 256 * 2**20
    """The largest body of a request, in bytes."""
    max_pixels: Size = MAX_PIXELS
    """The largest picture that may be sent, in pixels."""
    max_output: Size = 2**30
    """The largest picture that may be made, in pixels of all frames together."""
    max_clip: Size = 64 * _GIB
    """The same limit for a clip; the default allows five minutes at 3840x2160."""
    max_disk: Size = 20 * _GIB
    """The most bytes of pictures and results that are kept at once."""
    max_queue: Annotated[int, Field(ge=1)] = 200
    """The most jobs that may wait; any further request is answered with 429."""
    max_requests: Annotated[int, Field(ge=1)] = 1000
    """The most requests that are answered at once."""
    at_once: Annotated[int, Field(ge=1, le=16)] = 2
    """Pictures that are worked on at once: one is read or written while another is computed."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads of a network; by default one for each CPU that the process may use."""
    answer_within: Seconds = 15
    """Seconds; work forecast to take no longer is answered with the picture, longer work by 202."""
    longest_wait: Seconds = 300
    """The most seconds that a request may wait for its picture."""
    keep: Seconds = 3600
    """Seconds for which a result is kept."""
    patience: Seconds = 20
    """Seconds within which a client must send or read some data."""
    stuck_after: Seconds = 3600
    """Seconds without a tile or a frame after which a job is given up, and the next one begun."""
    grace: Seconds = 25
    """Seconds that running jobs have to finish when the server stops."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """The port of the metrics for Prometheus; by default there are none."""
    metrics_host: str = "127.0.0.1"
    """The address on which the metrics are served."""
    log_format: Literal["text", "json"] = "text"
    """The format of the log on standard error."""

    @field_validator("data")
    @classmethod
    def _is_no_root(cls, folder: Path) -> Path:
        if folder.parent == folder:
            raise ValueError("is the root of the disk, expected a folder of the server's own")
        return folder

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.token is None and not self.no_auth and not self.is_local:
            raise ValueError(
                f"host {self.host} is one that others reach, and there is no token; set "
                "WIDESR_TOKEN, or WIDESR_NO_AUTH=1 if none is wanted"
            )
        return self

    @property
    def pictures(self) -> Path:
        """The folder of the pictures and clips that were sent."""
        return self.data / "pictures"

    @property
    def results(self) -> Path:
        """The folder of the results."""
        return self.data / "results"

    @property
    def temporary(self) -> Path:
        """The folder for the temporary files of decoders."""
        return self.data / "temporary"

    @property
    def is_local(self) -> bool:
        """True if only programs on this machine reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def load_settings(**given: Any) -> ServeSettings:  # noqa: ANN401 - checked by pydantic
    """Build the settings from given values and the environment; given values take precedence.

    Args:
        **given: Fields of `ServeSettings`; None stands for one that was not given.

    Raises:
        UsageError: A value is not valid; the message gives its name and its variable.
    """
    try:
        return ServeSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise UsageError("; ".join(map(_worded, error.errors(include_input=False)))) from error


def _worded(fault: Any) -> str:  # noqa: ANN401 - pydantic's own
    name = str(fault["loc"][0]) if fault["loc"] else ""
    said = str(fault["msg"]).removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    return f"{name} (WIDESR_{name.upper()}): {said}" if name else said
