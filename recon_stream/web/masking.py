"""Account numbers for those who may not see them: enough to recognise one that is known, not enough to learn it. Pure."""

from __future__ import annotations

import re
from typing import Any

_SHOWN = 4
_LENGTH_MIN = 8
"""Of a shorter number the last digits would be half of it."""
_HIDDEN = "••••"
_SOURCE = re.compile(r"(?:^|;)(?:CORE|GATEWAY|MOBILE)=")


def masked(account: str) -> str:
    """The last four characters behind dots, or dots alone."""
    return _HIDDEN + (account[-_SHOWN:] if len(account) >= _LENGTH_MIN else "")


def masked_evidence(text: str | None) -> str | None:
    """Evidence about accounts: one number, or CORE=…;GATEWAY=…;MOBILE=… where there is no majority."""
    if text is None:
        return None
    heads = list(_SOURCE.finditer(text))
    if not heads or heads[0].start() != 0:
        return masked(text)
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return "".join(
        text[head.start() : head.end()] + masked(text[head.end() : end]) for head, end in zip(heads, ends, strict=True)
    )


def masked_result(body: dict[str, Any]) -> dict[str, Any]:
    """A result (legs and breaks as in ReconciliationResult) without account numbers."""
    legs = [leg | {"account": masked(leg["account"])} for leg in body["legs"]]
    breaks = [
        each | {"expected": masked_evidence(each["expected"]), "actual": masked_evidence(each["actual"])}
        if each["field"] == "account"
        else each
        for each in body["breaks"]
    ]
    return body | {"legs": legs, "breaks": breaks}
