"""Reads formulas as people do: numbers, units that mean nothing to arithmetic, and four operations."""

from __future__ import annotations

import math
import re

TIMES, OVER = "\N{MULTIPLICATION SIGN}", "\N{DIVISION SIGN}"


def worth(formula: str) -> float:
    """What a formula comes to."""
    text = formula.replace(TIMES, "*").replace(OVER, "/").replace("$", "")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"\b(?!max\b|ceil\b)[A-Za-z][\w-]*", "", text)
    return float(eval(text, {"__builtins__": {}, "max": max, "ceil": math.ceil}))
