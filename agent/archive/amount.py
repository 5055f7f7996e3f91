"""An amount of bytes in the unit that fits, for people to read."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def amount(count_bytes: int) -> str:
    """As disks are sold, by thousands: ``999 bytes``, ``4.1 kB``, ``2.3 GB``."""
    value, unit = float(count_bytes), 0
    while round(value, 1) >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{count_bytes} bytes" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"
