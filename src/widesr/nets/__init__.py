"""The networks, by family name: what a weights file names, and what a recipe builds."""

from typing import Any, NamedTuple

from pydantic import TypeAdapter

from widesr.nets.edsr import EDSR, EDSRConfig
from widesr.nets.wdsr import WDSR, WDSRConfig

__all__ = [
    "EDSR",
    "FAMILIES",
    "WDSR",
    "EDSRConfig",
    "Family",
    "Network",
    "NetworkConfig",
    "WDSRConfig",
    "build",
    "family_of",
    "parse_config",
]

Network = WDSR | EDSR
NetworkConfig = WDSRConfig | EDSRConfig


class Family(NamedTuple):
    """A network class and the configuration that it is built from."""

    config: type[Any]
    network: type[Any]


FAMILIES: dict[str, Family] = {
    "edsr": Family(EDSRConfig, EDSR),
    "wdsr": Family(WDSRConfig, WDSR),
}


def parse_config(family: str, values: dict[str, Any]) -> NetworkConfig:
    """Check `values` against the family's configuration.

    Raises:
        pydantic.ValidationError: A key that the family does not know, or a value of the wrong type.
        KeyError: No such family.
    """
    config: NetworkConfig = TypeAdapter(FAMILIES[family].config).validate_python(values)
    return config


def build(cfg: NetworkConfig) -> Network:
    """Build the network of a configuration, with random weights, ready to train."""
    network: Network = next(f.network for f in FAMILIES.values() if f.config is type(cfg))(cfg)
    return network


def family_of(cfg: NetworkConfig) -> str:
    """Name the family that a configuration belongs to."""
    return next(name for name, family in FAMILIES.items() if family.config is type(cfg))
