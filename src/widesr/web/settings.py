"""Settings of the server: flags of the command line and `WIDESR_*` variables, checked alike."""

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
"""The memory of the process, its runtimes, one network with small tiles, and some pictures."""
_USUAL_MEMORY = 4 * _GIB
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def _parsed_size(value: object) -> object:
    """Read "512M" or "2G"; numbers alone are bytes."""
    size = parse_size(str(value))
    return value if size is None else size


def _split(value: object) -> object:
    return (
        [each.strip() for each in value.split(",") if each.strip()]
        if isinstance(value, str)
        else value
    )


Size = Annotated[int, BeforeValidator(_parsed_size), Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=10**8, allow_inf_nan=False)]


def memory_of_machine() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's."""
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
    """0 takes one that is free."""
    token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Sent by clients as `Authorization: Bearer TOKEN`."""
    no_auth: bool = False
    """Listen on an address that others reach, without a token."""
    allow_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Names by which browsers may reach the server, beside its address and localhost."""
    data: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=lambda: cache_folder() / "serve"
    )
    """The folder of jobs, pictures and results; nothing is written elsewhere."""
    max_memory: Annotated[Size, Field(ge=_LEAST_MEMORY)] = Field(default_factory=_usual_memory)
    """Bytes that the process takes at most."""
    max_body: Size = 256 * 2**20
    """Bytes of a request."""
    max_pixels: Size = MAX_PIXELS
    """Pixels of a picture that is sent."""
    max_output: Size = 2**30
    """Pixels of a picture that is made, all frames together."""
    max_clip: Size = 64 * _GIB
    """The same for a clip: five minutes at 3840x2160."""
    max_disk: Size = 20 * _GIB
    """Bytes of pictures and results that are kept at once."""
    max_queue: Annotated[int, Field(ge=1)] = 200
    """Jobs that wait; a request beyond it is answered by 429."""
    max_requests: Annotated[int, Field(ge=1)] = 1000
    """Requests that are answered at once."""
    at_once: Annotated[int, Field(ge=1, le=16)] = 2
    """Pictures that are worked on at once: one is read or written while another is computed."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads of a network; by default one for each CPU that the process may use."""
    answer_within: Seconds = 15
    """Work that is forecast to be done by then is answered with the picture, longer work by 202."""
    longest_wait: Seconds = 300
    """The most that a request may wait for its picture."""
    keep: Seconds = 3600
    """Seconds for which a result is kept."""
    patience: Seconds = 20
    """Seconds in which a client must send or take something."""
    stuck_after: Seconds = 3600
    """Seconds without a tile or a frame after which a job is given up, and another one begun."""
    grace: Seconds = 25
    """Seconds in which pictures that are being made may be finished when the server stops."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """The port of the metrics for Prometheus; by default there are none."""
    metrics_host: str = "127.0.0.1"
    """The address of the same."""
    log_format: Literal["text", "json"] = "text"
    """The form of the lines on standard error."""

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
                f"host {self.host} is one that others reach, and there is no token; set a token, "
                "or say aloud that none is wanted (no_auth)"
            )
        return self

    @property
    def is_local(self) -> bool:
        """True if only programs on this machine reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def load_settings(**given: Any) -> ServeSettings:  # noqa: ANN401 - checked by pydantic
    """Join what was given with the environment; what was given goes first.

    Args:
        **given: Fields of `ServeSettings`; None stands for one that was not given.

    Raises:
        UsageError: A value that is not valid, by its name and by its variable.
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
