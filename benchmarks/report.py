"""What a benchmark prints: rows of contenders side by side, and targets with whether they are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def p99(samples: Sequence[float]) -> float:
    """Give the sample that one in a hundred exceeds."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def heading(text: str) -> None:
    print(f"\n{text}", flush=True)


def names(first: str, others: Sequence[str]) -> None:
    """Print the heads of columns."""
    print(f"{'':<50}{first:>10}" + "".join(f"{name:>18}" for name in others), flush=True)


def rounds(name: str, columns: Sequence[Sequence[float]]) -> list[float]:
    """Print medians, and the medians of the ratios within each round; give those ratios."""
    if not columns[0]:
        return []
    ratios = [median(own / base for own, base in zip(one, columns[0], strict=True)) for one in columns]
    row(name, [median(one) for one in columns], ratios)
    return ratios


def row(name: str, values: Sequence[float], ratios: Sequence[float] | None = None) -> None:
    """Print a value for each contender, and beside it what it is of the first one's."""
    base, *others = values
    shown = ratios[1:] if ratios is not None else [value / base if base > 0 else 0.0 for value in others]
    cells = [f"{value:11.2f}  x{ratio:.2f}" for value, ratio in zip(others, shown, strict=True)]
    print(f"  {name:<48}{base:>10.2f}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def line(name: str, value: str) -> None:
    print(f"  {name:<48}{value:>10}", flush=True)


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that was set, and what was measured; `at_least` says on which side of it is good."""

    name: str
    bound: float
    value: float
    unit: str = ""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        sign, verdict = (">=" if self.at_least else "<="), ("met" if self.is_met else "NOT MET")
        return f"  {self.name:<66}{self.value:>9.2f} {sign} {self.bound:g} {self.unit:<4}  {verdict}"


def targets(found: Sequence[Target]) -> None:
    """Print all targets beside what was measured."""
    heading("Targets")
    for target in found:
        print(target, flush=True)
