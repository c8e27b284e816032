"""Defines what a client may ask for: the options of `widesr upscale` by their names."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from widesr.errors import UsageError
from widesr.upscaling.target import MAX_SCALE, Target

_PictureFormat = Literal["png", "jpg", "webp", "tiff", "avif", "gif"]
_ClipFormat = Literal["mp4", "mov", "mkv", "webm"]
FORMATS: tuple[str, ...] = get_args(_PictureFormat)
CLIP_FORMATS: tuple[str, ...] = get_args(_ClipFormat)
_LONGEST = 10**6

Side = Annotated[int, Field(ge=1, le=_LONGEST)]


class Wishes(BaseModel):
    """The options of one picture or clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Annotated[
        float | None,
        Field(gt=0, le=MAX_SCALE, description="How many times larger; 2 where no size is given."),
    ] = None
    width: Annotated[
        Side | None, Field(description="Width of the result in pixels, instead of a scale.")
    ] = None
    height: Annotated[
        Side | None, Field(description="Height of the result in pixels, instead of a scale.")
    ] = None
    longest: Annotated[
        Side | None, Field(description="Longer side of the result in pixels, instead of a scale.")
    ] = None
    fit: Annotated[
        str | None,
        Field(
            pattern=r"^[1-9][0-9]{0,5}x[1-9][0-9]{0,5}$",
            description="A box that the result fills as far as its aspect allows: 1920x1080.",
        ),
    ] = None
    model: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}(:(0(\.[0-9]{1,2})?|1(\.0{1,2})?))?$",
            description="A name that /v1/info lists; crisp:0.5 goes half the way to crisp.",
        ),
    ] = "default"
    format: Annotated[
        Literal[_PictureFormat, _ClipFormat] | None,
        Field(description="Format of the result; by default the input's, or the nearest."),
    ] = None
    quality: Annotated[int, Field(ge=1, le=100, description="Quality of JPEG, WebP and AVIF.")] = 95
    lossless: Annotated[bool, Field(description="True to keep every value exactly.")] = False
    consistent: Annotated[
        bool,
        Field(description="True if the result shrinks back to the picture; needs a whole scale."),
    ] = False
    icc: Annotated[
        Literal["keep", "srgb", "strip"], Field(description="What becomes of the colour profile.")
    ] = "keep"
    metadata: Annotated[
        Literal["keep", "strip"], Field(description="What becomes of EXIF, XMP and IPTC.")
    ] = "keep"
    codec: Annotated[
        Literal["h264", "hevc", "av1", "vp9", "ffv1", "prores"] | None,
        Field(description="Codec of a clip; by default HEVC for HEVC, VP9 in WebM, or H.264."),
    ] = None
    crf: Annotated[
        int | None,
        Field(ge=0, le=63, description="The quality of a clip; less is better. H.264: 17."),
    ] = None
    deinterlace: Annotated[
        bool, Field(description="True to make one picture of both fields of an interlaced clip.")
    ] = False
    damaged: Annotated[
        Literal["refuse", "repeat"],
        Field(description="'repeat' lets the last good frame stand in for those that are damaged."),
    ] = "refuse"

    @property
    def target(self) -> Target:
        """The size that is asked for; x2 if none is.

        Raises:
            UsageError: Several sizes are asked for.
        """
        box = None
        if self.fit is not None:
            width, height = self.fit.split("x")
            box = (int(width), int(height))
        none = (self.scale, self.width, self.height, self.longest, box) == (None,) * 5
        return Target(
            scale=2 if none else self.scale,
            width=self.width,
            height=self.height,
            longest=self.longest,
            fit=box,
        )


class Asked(Wishes):
    """The options of one request."""

    wait: Annotated[
        float | None,
        Field(
            ge=0,
            le=3600,
            allow_inf_nan=False,
            description="Seconds to wait for the result before the answer is 202.",
        ),
    ] = None
    name: Annotated[
        str | None,
        Field(max_length=300, description="The file's name, where the body is the picture itself."),
    ] = None

    @property
    def wishes(self) -> Wishes:
        """The options that decide the result, without `wait` and `name`."""
        return Wishes(**self.model_dump(include=set(Wishes.model_fields)))


NAMES = frozenset(Wishes.model_fields)


def read_asked(query: Mapping[str, Any], form: Mapping[str, Any]) -> Asked:
    """Join the parameters of the query and of the form.

    Raises:
        UsageError: A parameter is in both or is not known, a value is not valid, or several sizes
            are asked for.
    """
    if twice := sorted(set(query) & set(form)):
        raise UsageError(f"{', '.join(twice)}: given in the address and in the form; give it once")
    try:
        asked = Asked.model_validate({**query, **form})
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'request'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise UsageError(re.sub(r"\s+", " ", faults)) from error
    asked.wishes.target  # noqa: B018 - several sizes are refused before the body is read
    return asked
