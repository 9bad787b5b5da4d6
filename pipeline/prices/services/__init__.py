"""Services that answer a request for one ticker with CSV, one file each.

- `service_client`: requests over HTTP, with the service's key and at its pace
- `listing_currencies`: currencies, which none of the services names
- `tiingo`, `stooq`, `alphavantage`: the services

What they answer is read as files of theirs are.
"""

from pipeline.prices.services.alphavantage import AlphaVantageSource
from pipeline.prices.services.service_client import ServiceClient
from pipeline.prices.services.stooq import StooqSource
from pipeline.prices.services.tiingo import TiingoSource

#: The services by the name of their source.
SERVICES: dict[str, type[AlphaVantageSource | StooqSource | TiingoSource]] = {
    each.name: each for each in (AlphaVantageSource, StooqSource, TiingoSource)
}

__all__ = ["SERVICES", "AlphaVantageSource", "ServiceClient", "StooqSource", "TiingoSource"]
