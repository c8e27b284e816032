"""Names every error of widesr, each with a stable code and a message that names the way out.

```text
WidesrError
├── UsageError             usage             an argument that is not valid (exit code 2)
├── ImageReadError         image-read        missing, empty, truncated, or not an image
├── ImageFormatError       image-format      a kind of image that is not read or written
├── ImageTooLargeError     image-too-large   more pixels than the caller allows
├── ImageWriteError        image-write       the output cannot be written
├── OutputExistsError      output-exists     the output exists already, or is the input
├── OutOfMemoryError       memory            a picture too large for the free memory
├── VideoReadError         video-read        a clip that is missing, damaged, or holds no video
├── VideoFormatError       video-format      a clip or stream of a kind that is not read or written
├── ShapeError             shape             arrays that do not fit one another
├── ModelNotFoundError     model-not-found   no model has that name and scale
├── ModelFileError         model-file        a model file that cannot be used
├── RecipeError            recipe            a recipe with mistakes, all of them listed
├── DataError              data              training or test pictures that cannot be used
├── DownloadError          download          a file that no mirror has, or not the expected one
├── CheckpointError        checkpoint        weights or run state that cannot be loaded
├── TrainingError          training          a run that cannot go on
├── ExportError            export            an exported file that disagrees with its network
├── WorkerLostError        worker-lost       a worker that ended early, again and again
├── MissingExtraError      missing-extra     a part of widesr that is not installed
└── InternalError          internal          a defect of widesr itself
```
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar


class WidesrError(Exception):
    """An error that the caller can fix; `str()` gives one line for people.

    Args:
        message: The sentence for the user: what was found, and what was expected.
        options: The arguments that help, as Python writes them: `"overwrite=True"`, `"tile=128"`,
            or `"max_pixels"` alone where the caller chooses the value. Each face (command line,
            HTTP) words them in its own way.
    """

    code: ClassVar[str] = "widesr"
    """Stable name for programs; also the anchor in `docs/reference/errors.md`."""
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, options: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.options = tuple(options)

    def __str__(self) -> str:
        return with_options(self.message, self.options)

    def __reduce__(self) -> tuple[Callable[..., "WidesrError"], tuple[object, ...]]:
        """Pickle by attributes, because the subclasses take different arguments."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[WidesrError], args: tuple[object, ...], state: dict[str, object]
) -> WidesrError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def with_options(message: str, options: Sequence[str]) -> str:
    """Append the options that help to a message, in brackets."""
    return f"{message} ({' or '.join(options)})" if options else message


class UsageError(WidesrError):
    """An argument or a combination of arguments that is not valid."""

    code = "usage"
    exit_code = 2


class ImageReadError(WidesrError):
    """A file that is missing, empty, truncated, or not an image."""

    code = "image-read"


class ImageFormatError(WidesrError):
    """An image of a kind that widesr does not read or write."""

    code = "image-format"


class ImageTooLargeError(WidesrError):
    """An image with more pixels than the caller allows."""

    code = "image-too-large"

    def __init__(self, *, found: str, pixels: int, max_pixels: int) -> None:
        super().__init__(
            f"{found} = {pixels:,} pixels, the limit is {max_pixels:,}; if you trust the file, "
            "raise the limit",
            options=["max_pixels"],
        )


class ImageWriteError(WidesrError):
    """An output that cannot be written; no part of it is left behind."""

    code = "image-write"


class OutputExistsError(WidesrError):
    """An output that exists already, or that would replace its own input."""

    code = "output-exists"


def output_exists(path: Path, *, options: Sequence[str] = ("overwrite=True",)) -> OutputExistsError:
    """Make the error for an output that exists already, with the arguments that help."""
    return OutputExistsError(
        f"{path}: exists already; name another output, or allow it to be replaced", options=options
    )


class OutOfMemoryError(WidesrError):
    """A picture that is too large for the free memory."""

    code = "memory"

    def __init__(self, cause: MemoryError, *, at: Path | None = None) -> None:
        where = f"{at}: " if at else ""
        found = " ".join(str(cause).split()) or "an allocation failed"
        super().__init__(
            f"{where}not enough memory ({found}); end other programs, upscale less, or "
            "take smaller tiles",
            options=["tile=128"],
        )


class VideoReadError(WidesrError):
    """A clip that is missing, damaged, or holds no video."""

    code = "video-read"


class VideoFormatError(WidesrError):
    """A clip with video or other streams that widesr does not read or write."""

    code = "video-format"


class ShapeError(WidesrError):
    """Arrays whose shapes or types do not fit one another."""

    code = "shape"


class ModelNotFoundError(WidesrError):
    """No model has that name, or none of that name has that scale."""

    code = "model-not-found"


class ModelFileError(WidesrError):
    """A model file that is corrupt, or that is not a super-resolution model."""

    code = "model-file"


class RecipeError(WidesrError):
    """A recipe with mistakes; the message lists all of them."""

    code = "recipe"


class DataError(WidesrError):
    """Training or test pictures that cannot be used."""

    code = "data"


class DownloadError(WidesrError):
    """A file that no mirror has, or that is not the expected one."""

    code = "download"


class CheckpointError(WidesrError):
    """Weights or run state that cannot be loaded into this network or run."""

    code = "checkpoint"


class TrainingError(WidesrError):
    """A training run that cannot go on."""

    code = "training"

    def __init__(
        self, message: str, *, options: Sequence[str] = (), diverged_at: int | None = None
    ) -> None:
        super().__init__(message, options=options)
        self.diverged_at = diverged_at
        """Step at which numbers were no longer finite, if that ended the run."""


class ExportError(WidesrError):
    """An exported file whose pictures differ from those of its network; it is not kept."""

    code = "export"


class WorkerLostError(WidesrError):
    """A worker of a bulk run that ended repeatedly at the same place."""

    code = "worker-lost"


class MissingExtraError(WidesrError):
    """A part of widesr that is not installed."""

    code = "missing-extra"

    def __init__(self, *, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs more than the base install: pip install 'widesr[{extra}]'"
        )


class InternalError(WidesrError):
    """A defect of widesr: an exception that none of the classes above covers."""

    code = "internal"

    def __init__(self, cause: Exception, *, at: Path | None = None) -> None:
        where = f"{at}: " if at else ""
        super().__init__(
            f"{where}unexpected {type(cause).__name__}: {cause}; this is a defect of widesr: "
            "please report it with this line and what WIDESR_DEBUG=1 in the environment shows"
        )


def first_line(error: Exception) -> str:
    """Return the first line of a library's error, or the error's name if it has no message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def last_line(error: Exception) -> str:
    """Return the last line of a library's error: with libvips, the one nearest to the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown cause"


def write_error(path: Path, error: Exception) -> WidesrError:
    """Make the error that says why a file cannot be written."""
    match error:
        case FileExistsError():
            return output_exists(path)
        case IsADirectoryError():
            return ImageWriteError(f"{path}: is a folder, a file name was expected")
        case FileNotFoundError():
            return ImageWriteError(
                f"{path}: the folder {path.parent} does not exist; make it first"
            )
        case OSError():
            return ImageWriteError(
                f"{path}: cannot be written ({error.strerror}); name another file or folder"
            )
        case _:
            return ImageWriteError(
                f"{path}: cannot be written ({last_line(error)}); check the space left there"
            )
