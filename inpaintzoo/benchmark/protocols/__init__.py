"""The named protocols, and the numbers that papers printed under them."""

from inpaintzoo.benchmark.protocols.named import PROTOCOLS, MetricWeights, protocol, protocols
from inpaintzoo.benchmark.protocols.protocol import Protocol, Published

__all__ = ["PROTOCOLS", "MetricWeights", "Protocol", "Published", "protocol", "protocols"]
