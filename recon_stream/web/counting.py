"""Sums of rollups as answers show them. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recon_stream.web.shapes import money
from recon_stream.web.times import moment

Row = Mapping[str, Any]


def sums(rows: Iterable[Row], name: str, number: str, amount: str) -> list[dict[str, Any]]:
    """By the values of the column `name`, in their order: how many, and how much in each currency that there is."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[name]].append(row)
    return [{name: value} | total(groups[value], number, amount) for value in sorted(groups)]


def total(rows: Iterable[Row], number: str, amount: str) -> dict[str, Any]:
    """Of all rows together: how many, and how much in each currency that there is."""
    count = 0
    amounts: Counter[str] = Counter()
    for row in rows:
        count += row[number]
        if row["currency"]:
            amounts[row["currency"]] += int(row[amount])
    return {number: count, "amounts": [money(sum_, code) for code, sum_ in sorted(amounts.items())]}


def facets(cells: Sequence[Row], chosen: Mapping[str, Sequence[str]], number: str) -> dict[str, list[dict[str, Any]]]:
    """By column, its values in their order: how many there are of each in cells that fit what is `chosen` in the OTHER columns.

    Nothing chosen in a column is any value of it; an empty text is no value.
    """
    found = {}
    for name in chosen:
        counts: Counter[str] = Counter()
        for cell in cells:
            if all(not values or other == name or cell[other] in values for other, values in chosen.items()):
                counts[cell[name]] += cell[number]
        found[name] = [{"value": value, number: counts[value]} for value in sorted(counts) if value]
    return found


def points(rows: Sequence[Row], name: str, number: str) -> list[dict[str, Any]]:
    """One for each instant at which there is something, in order: how many of each value of the column `name`."""
    found: dict[int, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row["at_ms"], {})[row[name]] = row[number]
    return [{"at": moment(at), "counts": counts} for at, counts in found.items()]
