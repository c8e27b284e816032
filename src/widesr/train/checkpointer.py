"""Validates a run, reports on it and keeps its files, in the main process."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from widesr.data.loader import Loader
from widesr.data.patches import Pair
from widesr.errors import CheckpointError, ImageWriteError
from widesr.models.catalog import TrainingData
from widesr.pictures.picture import Picture
from widesr.pictures.writing import write_picture
from widesr.train.checkpoint import Provenance, save_state, save_weights
from widesr.train.device import describe
from widesr.train.logs import Write
from widesr.train.run import Learned, Run
from widesr.train.schedule import learning_rate_at, settings_at
from widesr.train.tables import Scores
from widesr.train.validation import Validated, bicubic_psnr, draw_sheet, validate

_REPORT_S = 2.0


class Progress(NamedTuple):
    """The state of a run, as it is reported every few steps."""

    step: int
    steps: int
    loss: float
    """Mean since the last report."""
    terms: dict[str, float]
    """Mean of each term of the loss before its weight, and of what a discriminator said, since the
    last report."""
    learning_rate: float
    gradient_norm: float | None
    """Mean since the last report, before clipping; None where fp16 overflowed in all of it."""
    images_per_second: float
    """LR patches learned from per second by all processes, since the last report."""
    data_wait: float
    """Share of that time spent waiting for patches, 0 to 1."""
    seconds_left: float
    psnr: float | None
    """PSNR-Y of the last validation, `benchmark-y`, in dB."""
    psnr_at_start: float | None
    """PSNR-Y of the network that training began with; None where that was random."""
    psnr_bicubic: float | None
    """PSNR-Y of bicubic interpolation on the same photographs; None before the first validation."""
    lpips: float | None
    """Perceptual distance of the last validation; None without the table `features`."""
    lr_psnr: float | None
    """PSNR of SR, shrunk by bicubic, against LR, in the last validation, in dB."""
    lattice: float | None
    """Power of SR at the spacing of LR pixels against that beside it, in the last validation, in
    dB."""
    space: float | None
    """Score of several samples in the last validation; None for networks without noise."""
    rewinds: int
    """Times that the run exploded and was taken back."""
    validated: bool
    """True if that validation was at this step; a checkpoint goes with it."""


class Files(NamedTuple):
    """The place of a run's files, and what goes into them beside the run."""

    out: Path
    name: str
    sources: tuple[TrainingData, ...]
    commit: str

    @property
    def weights(self) -> Path:
        """The last weights; those that validated best are beside them."""
        return self.out / f"{self.name}.safetensors"


class Checkpointer:
    """Validates a run, reports on it, and writes its files."""

    def __init__(
        self,
        run: Run,
        loader: Loader,
        held_out: Sequence[Pair],
        *,
        files: Files,
        on_progress: Callable[[Progress], None],
        log: Write,
    ) -> None:
        self._run, self._loader, self._held_out = run, loader, held_out
        self._files, self._report, self._log = files, on_progress, log
        self._psnr_bicubic: float | None = None
        self._validated_at: float
        self._validated: Validated
        self.begin()

    def begin(self) -> None:
        """Count steps and time from where the run stands."""
        self._learned: list[Learned] = []
        self._since, self._reported = time.perf_counter(), self._run.step
        self._waited = self._loader.waited

    def note(self, learned: Learned, *, reports: bool) -> None:
        """Take note of a step, and report if there was no report for a while and none follows."""
        self._learned.append(learned)
        now = time.perf_counter()
        if reports and now - self._since > _REPORT_S:
            self._report(self._progress(at=now, validated=False))
            self.begin()

    def validate(self) -> Scores:
        """Validate the run; call `report_and_keep` next if the run is sound."""
        self._validated_at = time.perf_counter()  # validating does not count as time of the steps
        run = self._run
        self._validated = validate(
            run.ema, self._held_out, device=run.device, perceptual=run.objective.perceptual
        )
        return self._validated.scores

    def report_and_keep(self) -> None:
        """Report and log the validation, and write all files of the run.

        Raises:
            CheckpointError: The folder is full, or takes no file; the state before is whole.
        """
        run = self._run
        if self._psnr_bicubic is None:
            self._psnr_bicubic = bicubic_psnr(self._held_out, scale=run.recipe.network.scale)
        rank = run.recipe.best.rank(run.scores)
        is_best = run.best is None or rank > run.best
        run.best = rank if is_best else run.best
        sheet = draw_sheet(run.ema, self._held_out, self._validated.pictures)
        progress = self._progress(at=self._validated_at, validated=True)
        self._report(progress)
        self._log(progress._asdict() | {"seconds": run.seconds}, sheet)
        for end in ("", ".best") if is_best else ("",):
            weights = self._files.weights.with_suffix(f"{end}.safetensors")
            save_weights(weights, run.ema, self._provenance())
            _write_sheet(weights.with_suffix(".png"), Picture(pixels=sheet))
        self._keep_state()
        self.begin()

    def keep(self) -> None:
        """Write the run as it stands between two validations.

        Raises:
            CheckpointError: The folder is full, or takes no file; the state before is whole.
        """
        save_weights(self._files.weights, self._run.ema, self._provenance())
        self._keep_state()

    def _progress(self, *, at: float, validated: bool) -> Progress:
        """Sum up the steps since the last report."""
        run, optim = self._run, self._run.recipe.optim
        rate = (run.step - self._reported) / (at - self._since)  # steps per second
        norms = [step.gradient_norm for step in self._learned if math.isfinite(step.gradient_norm)]
        return Progress(
            step=run.step,
            steps=optim.steps,
            loss=statistics.fmean(step.loss for step in self._learned),
            terms=_means([step.terms for step in self._learned]),
            learning_rate=learning_rate_at(run.recipe, run.step),
            gradient_norm=statistics.fmean(norms) if norms else None,
            images_per_second=rate * settings_at(run.recipe, run.step - 1).batch,
            data_wait=(self._loader.waited - self._waited) / (at - self._since),
            seconds_left=(optim.steps - run.step) / rate,
            **run.scores._asdict(),
            psnr_at_start=run.psnr_at_start,
            psnr_bicubic=self._psnr_bicubic,
            rewinds=run.rewinds,
            validated=validated,
        )

    def _keep_state(self) -> None:
        """Write the state after all other files, so that a resumed run finds those that fit it."""
        self._run.sampler_state = self._loader.state
        save_state(self._files.out, *self._run.state(), step=self._run.step)

    def _provenance(self) -> Provenance:
        run = self._run
        return Provenance(
            recipe=run.recipe,
            steps=run.step,
            seconds=round(run.seconds, 1),
            started_from=run.started_from,
            teacher=run.teacher,
            commit=self._files.commit,
            machine=describe(run.device),
            training_data=self._files.sources,
            validation_psnr=run.scores.psnr,
            validation_lpips=run.scores.lpips,
        )


def _means(terms: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each term over the steps that have it."""
    found: dict[str, list[float]] = {}
    for each in terms:
        for name, value in each.items():
            found.setdefault(name, []).append(value)
    return {name: statistics.fmean(values) for name, values in found.items()}


def _write_sheet(path: Path, sheet: Picture) -> None:
    try:
        write_picture(path, sheet, overwrite=True)
    except ImageWriteError as error:
        raise CheckpointError(error.message, options=error.options) from error
