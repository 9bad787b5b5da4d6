"""Where prices come from: the port (`source`), its adapters, and the arithmetic of splits and dividends (`adjustment`)."""
