"""Moments and lengths of time as the protocol writes them: RFC 3339, and ``30s``, ``15m``, ``4h``, ``2d``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def now() -> datetime:
    """The present moment, UTC."""
    return datetime.now(timezone.utc)


def read(text: str) -> datetime:
    """A moment of RFC 3339, to the microsecond. Raises ``ValueError``."""
    found = _MOMENT.fullmatch(text)
    if not found:
        raise ValueError(f"`{text}` is no moment of RFC 3339")
    date, time, fraction, zone = found.groups()
    zone = "+00:00" if zone in "Zz" else zone
    micro = ((fraction or "") + "000000")[:6]
    return datetime.fromisoformat(f"{date}T{time}.{micro}{zone}")


def write(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


def seconds(time: str | timedelta | int, least: int, most: int) -> int:
    """A length of time in whole seconds, from ``"15m"``, a ``timedelta`` or seconds. Raises ``ValueError``."""
    if isinstance(time, timedelta):
        total = int(time.total_seconds())
    elif isinstance(time, int):
        total = time
    else:
        found = re.fullmatch(r"(\d{1,9})([smhd])", time)
        if not found:
            raise ValueError(f"`{time}` is no length of time: write 30s, 15m, 4h or 2d")
        total = int(found[1]) * _UNITS[found[2]]
    if not least <= total <= most:
        raise ValueError(f"{total} s is outside {least} s to {most} s")
    return total


def length(total: int) -> str:
    """Seconds in the largest unit that tells them exactly."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if total > 0 and total % size == 0:
            return f"{total // size}{unit}"
    return f"{total}s"
