"""Lists the published sets of the field: where their archives are, and what their hashes are."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from widesr.errors import UsageError


class Archive(NamedTuple):
    """An archive to fetch, and the parts of it that are wanted."""

    name: str
    urls: tuple[str, ...]
    """Addresses; the first that gives the right file is taken."""
    folder: str
    """Folder to unpack into, below the one that the user names; "" is that folder."""
    holds: tuple[str, ...]
    """Folders in the archive that are unpacked; () unpacks everything."""
    gives: tuple[str, ...] = ()
    """Folders that exist once the archive is unpacked."""
    terms: str = "not stated"
    """The licence, or the terms of use, of the pictures."""
    n_bytes: int | None = None
    digest: str | None = None
    """`sha256:` or `md5:` and the published hash in hexadecimal."""


SETS = ("div2k", "set5", "set14", "b100", "urban100")
"""Published sets by the names that users type."""
LR_SIDES = (
    *(f"{track}_X{scale}" for track in ("bicubic", "unknown") for scale in (2, 3, 4)),
    *("x8", "mild", "difficult", "wild"),
)
"""LR tracks of DIV2K, named as in its archives."""

_ETH = ("https://data.vision.ee.ethz.ch/cvl/DIV2K/", "http://data.vision.ee.ethz.ch/cvl/DIV2K/")
_MIRRORED = {"train_HR": ("https://huggingface.co/datasets/goodfellowliu/DIV2K/resolve/main/",)}
_SNU = ("https://cv.snu.ac.kr/research/EDSR/", "http://cv.snu.ac.kr/research/EDSR/")
_BENCHMARKS = {"set5": "Set5", "set14": "Set14", "b100": "B100", "urban100": "Urban100"}


def archives_of(
    names: Sequence[str], *, lr: Sequence[str] = (), url: str | None = None
) -> list[Archive]:
    """List the archives that hold some sets, each archive once.

    Args:
        names: Names from `SETS`.
        lr: Names from `LR_SIDES`, to fetch beside the HR of DIV2K.
        url: A mirror: a folder, with "/" at its end, that has the archives under their own names;
            or the file of one wanted archive, by its name; or any archive instead of the only one.

    Raises:
        UsageError: A name is unknown, `lr` is given without "div2k", or `url` is one file where
            several are wanted.
    """
    for kind, given, known in (("set", names, SETS), ("LR", lr, LR_SIDES)):
        wrong = [each for each in given if each not in known]
        if wrong:
            raise UsageError(f"{kind} {wrong[0]} is not known; expected {', '.join(known)}")
    if lr and "div2k" not in names:
        raise UsageError("LR is chosen for div2k only; the benchmarks hold theirs", options=["lr"])
    wanted: list[Archive] = []
    if "div2k" in names:
        sides = ["HR", *(f"LR_{each}" for each in dict.fromkeys(lr))]
        wanted += [_div2k(f"{split}_{side}") for side in sides for split in ("train", "valid")]
    folders = tuple(f"benchmark/{_BENCHMARKS[name]}" for name in names if name in _BENCHMARKS)
    if folders:
        wanted.append(
            Archive(
                name="benchmark.tar",
                urls=tuple(f"{base}benchmark.tar" for base in _SNU),
                folder="",
                holds=tuple(dict.fromkeys(folders)),
                gives=tuple(dict.fromkeys(folders)),
                # Source: Coloquinte/torchSR, torchsr/datasets/benchmarks.py.
                digest="md5:4ace41d33c2384b97e6b320cd0afd6ba",
            )
        )
    return wanted if url is None else _mirrored(wanted, url)


def _mirrored(wanted: list[Archive], url: str) -> list[Archive]:
    """Replace the addresses of archives by those of a mirror, as described in `archives_of`."""
    if url.endswith("/"):
        return [each._replace(urls=(url + each.name,)) for each in wanted]
    name = url.partition("?")[0].rpartition("/")[2]
    for each in wanted:
        if each.name == name:
            return [each._replace(urls=(url,))]
    if len(wanted) > 1:
        raise UsageError(
            f"{url} is one file, {len(wanted)} are wanted; end it with / for the folder of "
            f"{wanted[0].name} and the others",
            options=["url"],
        )
    (only,) = wanted
    return [only._replace(name=name, urls=(url,), holds=(), gives=(), n_bytes=None, digest=None)]


def _div2k(name: str) -> Archive:
    n_bytes, sha256 = _DIV2K[name]
    file = f"DIV2K_{name}.zip"
    return Archive(
        name=file,
        urls=tuple(f"{base}{file}" for base in (*_ETH, *_MIRRORED.get(name, ()))),
        folder="DIV2K",
        holds=(),
        gives=(re.sub(r"_X(\d)$", r"/X\1", f"DIV2K_{name}"),),
        terms="for academic research; the photographs belong to their owners",
        n_bytes=n_bytes,
        digest=f"sha256:{sha256}",
    )


# Source: tensorflow/datasets at 64fa5464e5cc, datasets/div2k/checksums.tsv.
_DIV2K = {
    name: (int(n_bytes), sha256)
    for name, n_bytes, sha256 in (
        line.split()
        for line in """
train_HR            3530603713 9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335
train_LR_bicubic_X2  925390592 a53a424317575838dadce4bcd97cf7b744d6855f43740ed5f0245af3cf4bd850
train_LR_bicubic_X3  427847282 ad5c8e5507e2765823d3c2c5bd0934842efcd487c5370604c224090898b3163a
train_LR_bicubic_X4  246914039 f006b837f4eb52b82909aa01478e6d6d199eefce932179491d0c9dbb706dde3a
train_LR_difficult   263211252 50624a649a0857fdb8e4a948e79c44c37dedbacb5729f9349cc983c47bfdf799
train_LR_mild        275693358 ce5fbe6252d1000c55656b0666dccdeaf8e66b86ae5ff528c49343012e8e1391
train_LR_unknown_X2  734182735 f166eeba119fc55bfc9a99c05561980e7a965382f36640ce8ef626c9f61d122c
train_LR_unknown_X3  377245548 b6455af3b2aa02d76ae3238c49d7aae3b48b0acdc44b5bdc0f4c02d40ebcb43b
train_LR_unknown_X4  208956781 d131c7aad51e0abbdc4433362ce899e5e75f40b9847ead70ee995188e8fd0adb
train_LR_wild       1079873385 ce68f7db812d12241212bb9d6b07406472bef3d785c463238888b44189c5ceb3
train_LR_x8           65753171 706fa23164fa0756a3accb78e69b937ea47f882b47e13506895deefd623a35c2
valid_HR             448993893 20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc
valid_LR_bicubic_X2  117763600 60eed9875c697df51204aa579e2a699e1d5215095788a097ff54dd17e2664d57
valid_LR_bicubic_X3   54513392 04b9a2ed3b4a0715d3924d3ae8514830c3328fac8d30512ce716d6f419e052a3
valid_LR_bicubic_X4   31505881 a50a5d1c4b88de4e8d300d8fb2b904c52fe93b2b298a4899697760d7cbb6d553
valid_LR_difficult    33596835 08b4e740496b50846497463121329c707dd8ed26eb8a655d175e9a595286d5e8
valid_LR_mild         35300939 eedfbcb6acc6662a3f52924aaa5a423693244f3276d37c3fca7944c7325859ff
valid_LR_unknown_X2   93433041 ec50bb084c0011130874efd2ed7859b46e0aa7104c565818d5271ac315e04e0a
valid_LR_unknown_X3   48143315 ebf23a3e1ef6800cae97285d3a50d022d89b62655e685884c0abcc89eec5b809
valid_LR_unknown_X4   26695095 e3897555a98de1157c20974fb6093105fbc1ff5e9caf7bd348f58f6da140fbef
valid_LR_wild         34655417 ce921d2048eef3e1fd9ba359d1876b1c93e33bd7a531306f7782672391df9820
valid_LR_x8            8428103 3432f23da7c6887acc5e2cde9669427a7710b3b256c58912dddc19e3eda5bc69
""".strip().splitlines()
    )
}
"""Bytes and SHA-256 of DIV2K_{name}.zip."""
