"""The networks by family name, as weights files and recipes state it."""

from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from widesr.errors import UsageError
from widesr.nets.ablation import Ablation, AblationConfig
from widesr.nets.drcn import DRCN, DRCNConfig
from widesr.nets.drrn import DRRN, DRRNConfig
from widesr.nets.edrn import EDRN, EDRNConfig
from widesr.nets.edsr import EDSR, EDSRConfig
from widesr.nets.espcn import ESPCN, ESPCNConfig
from widesr.nets.fsrcnn import FSRCNN, FSRCNNConfig
from widesr.nets.network import Network, NetworkConfig
from widesr.nets.rdn import RDN, RDNConfig
from widesr.nets.recurrent import RecurrentWDSR, RecurrentWDSRConfig
from widesr.nets.smfanet import SMFANet, SMFANetConfig
from widesr.nets.span import SPAN, SPANConfig
from widesr.nets.srcnn import SRCNN, SRCNNConfig
from widesr.nets.srdensenet import SRDenseNet, SRDenseNetConfig
from widesr.nets.srfbn import SRFBN, SRFBNConfig
from widesr.nets.srresnet import SRResNet, SRResNetConfig
from widesr.nets.vdsr import VDSR, VDSRConfig
from widesr.nets.wdsr import WDSR, WDSRConfig

__all__ = [
    "DRCN",
    "DRRN",
    "EDRN",
    "EDSR",
    "ESPCN",
    "FAMILIES",
    "FSRCNN",
    "RDN",
    "SPAN",
    "SRCNN",
    "SRFBN",
    "VDSR",
    "WDSR",
    "Ablation",
    "AblationConfig",
    "DRCNConfig",
    "DRRNConfig",
    "EDRNConfig",
    "EDSRConfig",
    "ESPCNConfig",
    "FSRCNNConfig",
    "Family",
    "Network",
    "NetworkConfig",
    "RDNConfig",
    "RecurrentWDSR",
    "RecurrentWDSRConfig",
    "SMFANet",
    "SMFANetConfig",
    "SPANConfig",
    "SRCNNConfig",
    "SRDenseNet",
    "SRDenseNetConfig",
    "SRFBNConfig",
    "SRResNet",
    "SRResNetConfig",
    "VDSRConfig",
    "WDSRConfig",
    "build",
    "consistent",
    "family_of",
    "iterated",
    "parse_config",
]


class Family(NamedTuple):
    """A network class and the configuration that it is built from."""

    config: type[NetworkConfig]
    network: type[Any]


FAMILIES: dict[str, Family] = {
    "ablation": Family(AblationConfig, Ablation),
    "drcn": Family(DRCNConfig, DRCN),
    "drrn": Family(DRRNConfig, DRRN),
    "edrn": Family(EDRNConfig, EDRN),
    "edsr": Family(EDSRConfig, EDSR),
    "espcn": Family(ESPCNConfig, ESPCN),
    "fsrcnn": Family(FSRCNNConfig, FSRCNN),
    "rdn": Family(RDNConfig, RDN),
    "recurrent": Family(RecurrentWDSRConfig, RecurrentWDSR),
    "smfanet": Family(SMFANetConfig, SMFANet),
    "span": Family(SPANConfig, SPAN),
    "srcnn": Family(SRCNNConfig, SRCNN),
    "srdensenet": Family(SRDenseNetConfig, SRDenseNet),
    "srfbn": Family(SRFBNConfig, SRFBN),
    "srresnet": Family(SRResNetConfig, SRResNet),
    "vdsr": Family(VDSRConfig, VDSR),
    "wdsr": Family(WDSRConfig, WDSR),
}


def parse_config(family: str, values: dict[str, Any]) -> NetworkConfig:
    """Check `values` against the family's configuration.

    Raises:
        pydantic.ValidationError: A key that the family does not know, or a value of the wrong type.
        KeyError: There is no such family.
    """
    config: NetworkConfig = TypeAdapter(FAMILIES[family].config).validate_python(values)
    return config


def build(cfg: NetworkConfig) -> Network:
    """Build the network of a configuration, with random weights, ready to train."""
    network: Network = FAMILIES[family_of(cfg)].network(cfg)
    return network


def consistent(network: Network) -> Network:
    """Return a network with the same weights whose pictures shrink back to their input exactly."""
    twin = build(replace(network.cfg, consistent=True))
    twin.load_state_dict(network.state_dict())
    return twin


def iterated(network: Network, iterations: int) -> Network:
    """Return a network with the same weights that runs them another number of times.

    Args:
        network: A recurrent network: DRRN, SRFBN, or a WDSR whose blocks are shared.
        iterations: Runs of DRRN's units, SRFBN's steps, or the row of WDSR's blocks; 1 or more.

    Raises:
        UsageError: The network's weights are for one number of iterations only, or `iterations` is
            below 1.
    """
    key = network.cfg.iterations
    if key is None:
        family = type(network).__name__
        raise UsageError(
            f"{family} runs as often as it was trained for; leave it out", options=["iterations"]
        )
    if iterations < 1:
        raise UsageError(f"iterations is {iterations}; expected 1 or more", options=["iterations"])
    changed: dict[str, Any] = {key: iterations}
    twin = build(replace(network.cfg, **changed))
    twin.load_state_dict(network.state_dict())
    return twin


def family_of(cfg: NetworkConfig) -> str:
    """Name the family that a configuration belongs to."""
    return next(name for name, family in FAMILIES.items() if family.config is type(cfg))
