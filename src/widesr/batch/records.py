"""Records the outcome of each job in the manifest of its output folder."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from widesr.batch.jobs import Job, Outcome
from widesr.batch.manifest import Entry, Failure, FileState, MadeBy, Manifest, as_text
from widesr.errors import ImageWriteError
from widesr.pictures.writing import output_format

_NOBODY = MadeBy("", None, {})


@dataclass(frozen=True, kw_only=True)
class Records:
    """The manifests of a run; jobs without an output folder have none."""

    manifests: Mapping[Path, Manifest] = field(default_factory=dict)
    """The manifests, by `Job.root`."""
    made_by: MadeBy = _NOBODY
    """All that decides an output in a lossless format, apart from its input."""
    lossy: MadeBy = _NOBODY
    """All that decides an output in a lossy format, apart from its input."""

    def keeps(self, job: Job) -> bool:
        """Tell whether there is a manifest for a job."""
        return job.root in self.manifests

    def difference(self, job: Job) -> str | None:
        """Say why the existing output is not what would be made now; None if it is.

        Raises:
            ImageReadError: A file cannot be read.
            ImageWriteError: The manifest cannot be read.
        """
        manifest = self._of(job)
        assert manifest is not None
        return manifest.difference(job.source, job.target, made_by=self._made_by(job))

    def add_done(self, outcome: Outcome, *, source: FileState | None, output: int) -> None:
        """List an output that is on the disk but has no name yet; `output` is its open file.

        Raises:
            ImageWriteError: The manifest cannot be written.
        """
        if manifest := self._of(outcome.job):
            entry = self._entry(manifest, outcome)
            states = {"input_file": source, "output_file": FileState.of(output)}
            manifest.add(entry.model_copy(update=states))

    def add_failure(self, outcome: Outcome) -> None:
        """List why there is no output; if that fails, the picture's own error is still reported."""
        if manifest := self._of(outcome.job):
            with suppress(ImageWriteError):
                manifest.add(self._entry(manifest, outcome))

    def _of(self, job: Job) -> Manifest | None:
        return self.manifests.get(job.root) if job.root is not None else None

    def _made_by(self, job: Job) -> MadeBy:
        lossless = output_format(job.target, animated=True) in ("png", "tiff")
        return self.made_by if lossless else self.lossy

    def _entry(self, manifest: Manifest, outcome: Outcome) -> Entry:
        job, error = outcome.job, outcome.error
        made_by = self._made_by(job)
        (in_height, in_width), (out_height, out_width) = (
            size or (None, None) for size in (outcome.input_size, outcome.output_size)
        )
        return Entry(
            input=as_text(job.source),
            output=manifest.name_of(job.target),
            status="failed" if error else "done",
            input_width=in_width,
            input_height=in_height,
            output_width=out_width,
            output_height=out_height,
            model=made_by.model,
            model_sha256=made_by.model_sha256,
            settings=made_by.settings,
            seconds=round(outcome.seconds, 3),
            error=Failure(code=error.code, message=as_text(error)) if error else None,
        )
