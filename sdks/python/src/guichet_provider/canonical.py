"""JSON as it is digested: one way of writing each value, and SHA-256 over it.

See "Canonical JSON" in docs/provider-protocol.md. Members are sorted by the code points of their names, there is no white
space, and numbers keep what the text said: ``2`` is another value than ``2.0``.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from pydantic_core import to_jsonable_python

_LEAST, _MOST = -(2**63), 2**64 - 1


def loads(text: str | bytes) -> Any:
    """Reads JSON as the protocol has it: UTF-8, finite numbers, no lone surrogates.

    Raises ``ValueError`` for anything else.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("it has too many levels") from None
    # A lone surrogate cannot be written as UTF-8.
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def dumps(value: Any) -> str:
    """Writes JSON for the wire: no white space, members in their own order."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def plain(value: Any) -> Any:
    """A copy of it as it goes over the wire: who changes the value later does not change this.

    What JSON has no word for is told as text, and a character that is none becomes a question mark. Raises ``ValueError`` or
    ``TypeError`` for what cannot be written even so: a number that is not finite, a member whose name is no text, a circle.
    """
    text = json.dumps(
        value,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
        default=lambda other: to_jsonable_python(other, fallback=str),
    )
    return loads(text.encode("utf-8", "replace"))


def canonical(value: Any) -> str:
    """The canonical text of a value."""
    out: list[str] = []
    _write(value, out)
    return "".join(out)


def digest(value: Any) -> str:
    """``sha256:`` and the hash of the canonical text."""
    return digest_of_bytes(canonical(value).encode("utf-8"))


def digest_of_bytes(data: bytes) -> str:
    """``sha256:`` and the hash of these bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


def _whole(text: str) -> int | float:
    # What does not fit into 64 bits is a float, as everywhere else in Guichet; so is -0.
    if text == "-0":
        return -0.0
    if len(text) > 20:
        return _finite(text)
    number = int(text)
    return number if _LEAST <= number <= _MOST else float(number)


def _write(value: Any, out: list[str]) -> None:
    if isinstance(value, dict):
        out.append("{")
        for position, name in enumerate(sorted(value)):
            if position:
                out.append(",")
            out.append(json.dumps(name, ensure_ascii=False))
            out.append(":")
            _write(value[name], out)
        out.append("}")
    elif isinstance(value, (list, tuple)):
        out.append("[")
        for position, item in enumerate(value):
            if position:
                out.append(",")
            _write(item, out)
        out.append("]")
    elif isinstance(value, float):
        out.append(_float(value))
    else:
        out.append(json.dumps(value, ensure_ascii=False))


def _float(value: float) -> str:
    """The shortest digits that mean this number: plain from 1e-5 to below 1e16, else with an exponent."""
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    if value == 0:
        return "-0.0" if math.copysign(1.0, value) < 0 else "0.0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    before, _, behind = mantissa.partition(".")
    digits = (before + behind).lstrip("0")
    # The exponent of the first digit.
    point = len(before) + int(exponent or 0)
    point -= len(before + behind) - len((before + behind).lstrip("0"))
    digits = digits.rstrip("0") or "0"
    first = point - 1
    if -5 <= first < 16:
        if first < 0:
            return f"{sign}0.{'0' * (-first - 1)}{digits}"
        digits = digits.ljust(first + 2, "0")
        return f"{sign}{digits[: first + 1]}.{digits[first + 1 :]}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{first:+d}"
