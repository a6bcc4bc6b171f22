"""A server, how many there are and how busy they are in, the electricity of a year out."""

from typing import Final, NamedTuple

from submeter.footprint.outlooks import terawatt_hours

FORMULA: Final = "servers × (idle W + utilisation × (W − idle W)) × PUE × 8,760 h"


class Fleet(NamedTuple):
    """What is scaled up. ``source``: where the server's figures come from."""

    servers: float
    watts_per_server: float  # at full use
    utilisation: float = 1.0  # 0…1
    pue: float = 1.0
    idle_watts: float = 0.0  # of a server that does nothing
    source: str = "given"
    uncertainty: float | None = None  # relative, ±; None: nobody has said one

    @property
    def watts(self) -> float:
        """Mean draw of a server."""
        return self.idle_watts + self.utilisation * (self.watts_per_server - self.idle_watts)

    @property
    def gigawatts(self) -> float:
        """Mean draw of all, with the site's share."""
        return self.servers * self.watts * self.pue / 1e9

    @property
    def twh_per_year(self) -> float:
        """Of a year of 8,760 h."""
        return terawatt_hours(self.servers, self.watts) * self.pue

    @property
    def range_twh(self) -> tuple[float, float]:
        """The same with its uncertainty."""
        spread = self.twh_per_year * (self.uncertainty or 0.0)
        return self.twh_per_year - spread, self.twh_per_year + spread


class Measured(NamedTuple):
    """What a ledger says of a node: boards only, without host, network and power supplies."""

    gpus: int
    joules: float
    metered_s: float  # GPU time
    training_j: float
    inference_j: float
    coverage: float | None
    backend: str

    @property
    def gpu_watts(self) -> float:
        """Mean draw of a GPU."""
        return self.joules / self.metered_s if self.metered_s else 0.0

    @property
    def inference_share(self) -> float | None:
        """Of what was for training or inference; None where there was neither."""
        both = self.training_j + self.inference_j
        return self.inference_j / both if both else None
