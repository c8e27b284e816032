"""Defines the tables of a recipe, each with its keys and the values that they may have."""

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from widesr.degrade.named import DEGRADATIONS
from widesr.train.detector import MULTIPLE
from widesr.train.discriminators import DiscriminatorName
from widesr.train.losses import LOSSES
from widesr.train.recipe_errors import nearest

# Strict, because TOML has types: "8" is no number, and true is not 1.
Positive = Annotated[int, Field(gt=0, strict=True)]
Whole = Annotated[int, Field(ge=0, strict=True)]
Fraction = Annotated[float, Field(ge=0, lt=1, strict=True)]
Factor = Annotated[float, Field(gt=0, strict=True)]
LossName = Literal["l1", "charbonnier", "mse"]


def _known_degradation(name: str) -> str:
    known = (*DEGRADATIONS, "given")
    if name not in known:
        raise ValueError(f"expected one of {', '.join(known)}{nearest(name, known)}")
    return name


class Table(BaseModel):
    """A table of a recipe or a study: immutable, and without other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class DataTable(Table):
    """The photographs to learn from, and how patches are cut."""

    degradation: Annotated[str, AfterValidator(_known_degradation)]
    """Degradation that makes LR from HR, four times for each photograph unless it is `"bicubic"`;
    or the LR beside HR to use: a track of DIV2K, or `"given"`, which is the folder `lr/`."""
    lr_patch: Positive
    """Side of a training patch in LR pixels."""
    batch: Positive
    """Patches per optimizer step."""
    validation: Positive = 12
    """Photographs held out for validation: those whose names have the smallest SHA-256."""
    exclude: tuple[str, ...] = ()
    """Names of the files that are used neither for training nor for validation."""
    frames: Positive | None = None
    """Frames of a clip that a recurrent network learns from at once; other networks have none."""
    candidates: Positive = 1
    """Number of places that are drawn for each patch. One of them is chosen, with a probability
    proportional to the mean gradient of its LR, so that detailed places are learned more often."""


class MuonTable(Table):
    """Settings of Muon for the kernels that it learns."""

    learning_rate: Factor
    """Learning rate while `optim.learning_rate` is at its highest; the two keep their ratio."""
    momentum: Fraction = 0.95
    layers: Annotated[tuple[str, ...], Field(min_length=1)] = ("body",)
    """Parts of the network, as the first part of their tensors' names."""


class OptimTable(Table):
    """The optimizer and its schedules, which count optimizer steps."""

    optimizer: Literal["adam", "adamw", "muon"] = "adam"
    """`"muon"` learns the kernels of some layers by Muon, as `muon` says, and the rest by Adam."""
    loss: LossName | None = None
    """A single loss, in place of the table `loss`. PSNR measures `"mse"`, but networks learn faster
    with the others, and may end with `"mse"`."""
    steps: Positive
    learning_rate: Factor
    """The highest learning rate; the schedule says when it is reached."""
    warmup: Whole
    """Steps over which the learning rate rises to its highest: from zero, or from a 25th of it for
    `"one-cycle"`."""
    schedule: Literal["cosine", "step", "one-cycle"]
    """`"cosine"` falls to zero; `"one-cycle"` rises and falls along cosines, to a 250,000th of the
    highest."""
    decay_at: Annotated[tuple[Positive, ...], Field(validate_default=True)] = ()
    """Steps at which the schedule `"step"` multiplies the learning rate by `decay`."""
    decay: Annotated[float | None, Field(gt=0, lt=1, strict=True, validate_default=True)] = None
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Decay rates of the moments of Adam and AdamW."""
    muon: Annotated[MuonTable | None, Field(validate_default=True)] = None
    weight_decay: Annotated[float, Field(ge=0, strict=True)] = 0.0
    """Weight decay of AdamW, on all parameters."""
    clip_grad_norm: Annotated[float, Field(gt=0, strict=True)] | None = None
    """Largest norm over all parameters; gradients with a larger norm are scaled down to it."""
    ema_decay: Fraction
    """Decay of the moving average of the weights, which is validated and kept; 0 for no average."""
    precision: Literal["fp32", "bf16", "fp16"]
    """Type of the network's arithmetic; weights, losses and optimizers are always in fp32."""
    compile: bool = Field(default=False, strict=True)
    """True to compile the network first with torch: takes a minute, and on a CPU a C++ compiler."""

    # Checked key by key, since a check of the whole table would wait until every key is right.
    @field_validator("schedule")
    @classmethod
    def _one_cycle_rises(cls, value: str, info: ValidationInfo) -> str:
        if value != "one-cycle" or not {"warmup", "steps"} <= info.data.keys():
            return value
        warmup, steps = info.data["warmup"], info.data["steps"]
        if not 1 < warmup < steps:
            raise ValueError(f"needs a warmup between 1 and steps = {steps}, not {warmup}")
        return value

    @field_validator("decay_at", "decay")
    @classmethod
    def _goes_with_the_step_schedule(cls, value: object, info: ValidationInfo) -> object:
        schedule = info.data.get("schedule")
        if schedule == "step" and not value:
            raise ValueError('schedule = "step" needs decay_at and decay')
        if schedule not in ("step", None) and value:
            raise ValueError(f'only schedule = "step" has it, not "{schedule}"')
        return value

    @field_validator("weight_decay")
    @classmethod
    def _goes_with_adamw(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("optimizer") in ("adam", "muon"):
            raise ValueError('needs optimizer = "adamw"')
        return value

    @field_validator("muon")
    @classmethod
    def _goes_with_muon(cls, value: MuonTable | None, info: ValidationInfo) -> MuonTable | None:
        optimizer = info.data.get("optimizer")
        if optimizer == "muon" and value is None:
            raise ValueError('optimizer = "muon" needs the table [optim.muon]')
        if optimizer not in ("muon", None) and value is not None:
            raise ValueError(f'only optimizer = "muon" has it, not "{optimizer}"')
        return value


class AdversarialTable(Table):
    """A discriminator that learns beside the network and judges its pictures."""

    weight: Factor
    kind: Literal["vanilla", "relativistic"]
    """`"vanilla"` judges each picture alone, `"relativistic"` against the mean of the others."""
    discriminator: DiscriminatorName
    """`"srgan"` judges a patch as a whole, `"unet"` each of its pixels, `"mtgan"` the features that
    the heads of a detector read; the table `detector` names the detector."""
    n_feats: Positive = 24
    """Channels of the discriminator's first layer; the others have multiples of it."""
    learning_rate: Factor
    """Learning rate of the discriminator while `optim.learning_rate` is at its highest; the two
    keep their ratio."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.99)
    """Decay rates of the moments of the discriminator's Adam."""
    begin: Whole = 0
    """Number of steps in which the discriminator learns before its judgement counts."""


class LossTable(Table):
    """Weights of the terms of the loss; terms that are left out do not count."""

    l1: Factor | None = None
    charbonnier: Factor | None = None
    mse: Factor | None = None
    ms_ssim: Factor | None = None
    """Weight of 1 - MS-SSIM, on as many of its scales as fit into a patch."""
    focal_frequency: Factor | None = None
    """Weight of the difference between spectra, mostly where the error is largest."""
    overshoot: Factor | None = None
    """Weight of what is lighter or darker than all HR pixels around it: the halos of print."""
    lattice: Factor | None = None
    """Weight of the checkerboard that repeats at each LR pixel; networks that are judged by strided
    networks need it."""
    perceptual: Factor | None = None
    """Weight of the distance between features; the table `features` names the feature network."""
    samples: Annotated[int, Field(ge=2, strict=True)] | None = None
    """Number of pictures that are made of each patch, each with other noise. At each place,
    `perceptual` then counts only the nearest of them, so that together they learn all pictures that
    are possible. The network needs `noise`."""
    classification: Factor | None = None
    """Weight of the error of the classes that a detector predicts at each place of the whole patch;
    the table `detector` names the detector."""
    regression: Factor | None = None
    """Weight of the error of the boxes that the detector predicts for objects."""
    adversarial: AdversarialTable | None = None
    side: Positive | None = None
    """Side of the square of each patch that `perceptual` and `adversarial` judge, in HR pixels; its
    place changes from step to step. None is the whole patch, which `"mtgan"` always judges."""

    @model_validator(mode="after")
    def _has_a_term(self) -> Self:
        others = self.lattice, self.perceptual, self.needs_detector, self.adversarial
        if not (self.pixel_terms() or any(others)):
            raise ValueError("has no term; expected a weight for l1, or another")
        return self

    @classmethod
    def of(cls, name: LossName) -> Self:
        """Make the table of a single term."""
        return cls.model_validate({name: 1.0})

    def pixel_terms(self) -> dict[str, float]:
        """Return the weights of the terms that compare pixels, by name."""
        return self._weights(LOSSES)

    def region_terms(self) -> dict[str, float]:
        """Return the weights of the terms that compare a detector's predictions, by name."""
        return self._weights(("classification", "regression"))

    def _weights(self, names: Iterable[str]) -> dict[str, float]:
        named = ((name, getattr(self, name)) for name in names)
        return {name: weight for name, weight in named if weight is not None}

    @property
    def needs_detector(self) -> bool:
        """True if a term or the discriminator needs a detector."""
        is_judge = self.adversarial is not None and self.adversarial.discriminator == "mtgan"
        return is_judge or bool(self.region_terms())


class FeaturesTable(Table):
    """The feature network that compares pictures by LPIPS; widesr neither has nor fetches one."""

    weights: str
    """File of the features of SqueezeNet 1.1 (`.safetensors`, or `.pth` of tensors)."""


class DetectorTable(Table):
    """The detector that the network learns from; widesr neither has nor fetches one."""

    weights: str
    """File of a YOLOX (`.onnx`) as its authors publish it, without decoding."""
    side: Positive
    """Side to which patches are resized for the detector, a multiple of 32. Objects should then be
    as large as those that it will be used on."""
    boxes: str | None = None
    """File of the photographs' objects, in COCO's format, with the detector's classes as its
    categories. None takes the objects that the detector finds in each whole photograph at its full
    size."""
    score: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.3
    """Lowest score of an object that the detector finds there."""

    @field_validator("side")
    @classmethod
    def _fits_its_grids(cls, value: int) -> int:
        if value % MULTIPLE:
            raise ValueError(f"expected a multiple of {MULTIPLE}")
        return value


class TeacherTable(Table):
    """A trained model whose pictures the network learns from, instead of or beside photographs."""

    model: str
    """The name of a model, a model file (`.onnx`), or weights (`.safetensors`)."""
    self_ensemble: bool = Field(default=False, strict=True)
    """True to average the teacher's pictures over the eight flips and turns."""
    share: Annotated[float, Field(gt=0, le=1, strict=True)]
    """Share of the teacher's picture in the target; the rest is the photograph."""
    exclude: tuple[str, ...] = ()
    """Names, or patterns such as `"sketch_*"`, of photographs to learn from without the teacher."""


class Stage(Table):
    """A part at the end of the run that has other settings.

    A setting that is None stays as in the rest of the run.
    """

    steps: Positive
    loss: LossName | None = None
    lr_patch: Positive | None = None
    batch: Positive | None = None
    learning_rate: Factor | None = None
    """Learning rate at the start of the stage, which falls to zero along half a cosine; None
    continues with the run's."""
    teacher_share: Annotated[float, Field(ge=0, le=1, strict=True)] | None = None
    """`teacher.share` of this stage; 0 learns from the photographs alone."""


class Scores(NamedTuple):
    """The scores of a validation; all are None before the first one."""

    psnr: float | None = None
    """Mean PSNR-Y over the held-out photographs, `benchmark-y`, in dB."""
    lpips: float | None = None
    """Mean perceptual distance; None without a feature network."""
    lr_psnr: float | None = None
    """Mean PSNR of SR, shrunk by bicubic, against LR, in dB."""
    lattice: float | None = None
    """Power at the spacing of LR pixels, relative to nearby frequencies, in dB: the maximum over
    all photographs; None if they are too small."""
    space: float | None = None
    """Percentage by which the nearest samples at each place are closer to the truth than the best
    whole sample, as in the challenge on the SR space; None for networks without noise."""


class BestTable(Table):
    """The choice of the best weights among those of all validations."""

    score: Literal["psnr", "lpips", "space"] = "psnr"
    """`"psnr"` and `"space"` are best when high, `"lpips"` when low; the last two need the table
    `features`, and `"space"` a network with noise."""
    max_lpips: float | None = None
    """Upper limit of LPIPS: weights above it are kept only as long as none are below."""
    min_lr_psnr: float | None = None
    """Lower limit of LR-PSNR in dB: weights below it are kept only as long as none are above."""
    max_lattice: float | None = None
    """Upper limit in dB of the power at the spacing of LR pixels, relative to nearby frequencies:
    weights above it are kept only as long as none are below."""

    def rank(self, scores: Scores) -> tuple[bool, float]:
        """Rank weights by whether they keep the limits, and then by their score; larger is better.

        Limits of LPIPS and the lattice count as kept if these were not measured.
        """
        assert scores.psnr is not None
        assert scores.lr_psnr is not None
        is_within = (
            (self.min_lr_psnr is None or scores.lr_psnr >= self.min_lr_psnr)
            and (self.max_lattice is None or (scores.lattice or 0.0) <= self.max_lattice)
            and (self.max_lpips is None or (scores.lpips or 0.0) <= self.max_lpips)
        )
        if self.score == "psnr":
            return is_within, scores.psnr
        if self.score == "space":
            assert scores.space is not None
            return is_within, scores.space
        assert scores.lpips is not None
        return is_within, -scores.lpips


class LogTable(Table):
    """Validation and logs."""

    validate_every: Positive = 1000
    """Steps between validations, each of which also writes a checkpoint."""
    tensorboard: bool = Field(default=False, strict=True)
    """True to write TensorBoard's event files beside `log.jsonl`."""
