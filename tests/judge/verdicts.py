"""The judgement of what was published: topics in, report out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .checks import (
    Sources,
    check_breaks,
    check_identity,
    check_legs,
    check_step,
    check_verdict,
    differences,
)
from .explain import explain
from .history import Body, break_body, is_mismatch_news, leg_body, open_part
from .picture import Picture
from .records import FAMILY_OF_REASON, Record, decode_registered
from .rules import Rules
from .truth import CaseTruth, Horizon, Truth, find_truth

VIOLATIONS_SHOWN_MAX = 50

RESULT_FIELDS = (
    "result_id txn_id revision verdict primary_class breaks legs amount_minor currency rules_version decided_at".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Topics:
    """All records of the topics, and the registered schemas by id (parsed; records.parse_schemas)."""

    sources: Sequence[Record]
    results: Sequence[Record]
    mismatches: Sequence[Record]
    dead_letters: Sequence[Record]
    schemas: Mapping[int, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """`clock_ms`, `settle_ms`, `held`: see truth.Horizon. `live_slack_ms`: producers are known to send a record within
    so many milliseconds of its Kafka timestamp, which proves some premature breaks (explain.premature); None: unknown.
    `may_be_empty`: names of counts that may be zero in data without such faults."""

    clock_ms: int
    settle_ms: int = 10_000
    held: frozenset[str] = frozenset()
    live_slack_ms: int | None = None
    may_be_empty: frozenset[str] = frozenset()


@dataclass(slots=True)
class Report:
    """How much was examined, what is wrong (the first fifty in words, all of them by kind)."""

    examined: Counter[str] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def violation(self, kind: str, text: str) -> None:
        """Count it, keep the text of the first ones."""
        self.kinds[kind] += 1
        if len(self.violations) < VIOLATIONS_SHOWN_MAX:
            self.violations.append(f"{kind}: {text}")

    @property
    def ok(self) -> bool:
        """No violation."""
        return not self.kinds

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {"examined": dict(self.examined), "facts": dict(self.facts), "kinds": dict(self.kinds)}
        return {"ok": self.ok, **counts, "violations": list(self.violations)}


EXAMINED = (
    "source records",
    "transactions",
    "results",
    "final verdicts",
    "explained chains",
    "breaks",
    "legs",
    "mismatches",
    "dead letters",
)


@dataclass(frozen=True, slots=True)
class Published:
    """The revisions of one transaction by number, and their raw values."""

    bodies: dict[int, Body]
    values: dict[int, bytes | None]
    records: dict[int, Record]


def judge(topics: Topics, rules: Rules, options: Options) -> Report:
    """The whole judgement."""
    report = Report()
    truth = find_truth(topics.sources, topics.schemas, rules)
    horizon = truth.horizon(options.clock_ms, options.settle_ms, options.held, rules.stall_after_ms)
    report.examined["source records"] = len(truth.seen)
    report.facts.update(f"records {fate}" for fate in truth.fates.values())
    results = read_results("recon_results", topics.results, topics.schemas, report)
    judge_results(results, truth, rules, horizon, options, report)
    judge_mismatches(results, read_results("recon_mismatches", topics.mismatches, topics.schemas, report), report)
    judge_dead_letters(topics, truth, report)
    for name in EXAMINED:
        if report.examined[name] == 0 and name not in options.may_be_empty:
            report.violation("nothing_examined", f"no {name} were there to examine")
    return report


def read_results(
    topic: str, records: Iterable[Record], schemas: Mapping[int, Any], report: Report
) -> dict[str, Published]:
    """Results by transaction and revision. A repeat is allowed and must carry identical bytes; the first copies of a
    transaction stand in order of revision."""
    found: dict[str, Published] = defaultdict(lambda: Published({}, {}, {}))
    for record in sorted(records, key=lambda r: (r.partition, r.offset)):
        where = f"{topic}[{record.partition}]@{record.offset}"
        try:
            decoded = decode_registered(record.value, schemas)
            body = {name: decoded[name] for name in RESULT_FIELDS}
        except (ValueError, KeyError) as error:
            report.violation("undecodable", f"{where}: {error}")
            continue
        of_txn, revision = found[body["txn_id"]], body["revision"]
        if revision not in of_txn.values:
            if of_txn.bodies and revision < max(of_txn.bodies):
                report.violation(
                    "order", f"{where}: {body['txn_id']} revision {revision} comes first after a later one"
                )
            of_txn.bodies[revision], of_txn.values[revision] = body, record.value
            of_txn.records[revision] = record
        else:
            report.facts[f"{topic} repeats"] += 1
            if of_txn.values[revision] != record.value:
                what = "; ".join(differences(of_txn.bodies[revision], body)) or "other bytes of the same content"
                report.violation("other_bytes", f"{where}: {body['txn_id']} revision {revision} again with {what}")
    return dict(found)


def judge_results(
    results: Mapping[str, Published],
    truth: Truth,
    rules: Rules,
    horizon: Horizon,
    options: Options,
    report: Report,
) -> None:
    """Every transaction, with or without results."""
    by_case = defaultdict(list)
    for s in truth.seen:
        if s.case is not None:
            by_case[s.case].append(s)
    sources = Sources({s.record.at: s for s in truth.seen}, by_case)
    for txn_id in results.keys() - truth.cases.keys():
        report.violation("phantom_transaction", f"{txn_id}: results without any record that opens the case")
    for txn_id, case in truth.cases.items():
        report.examined["transactions"] += 1
        published = results.get(txn_id, Published({}, {}, {}))
        examine_revisions(txn_id, published, sources, rules, report)
        if case.unjudged:
            report.facts[f"unjudged: {case.unjudged}"] += 1
            continue
        partition = case.alternatives[0].partition
        for revision, record in published.records.items():
            if record.partition != partition:
                report.violation(
                    "partition",
                    f"{txn_id} revision {revision} is in partition {record.partition}, its records in {partition}",
                )
        judge_case(case, published, horizon, options, report)


def examine_revisions(txn_id: str, published: Published, sources: Sources, rules: Rules, report: Report) -> None:
    """Numbers without gaps; each revision in itself and beside the one before."""
    numbers = sorted(published.bodies)
    if numbers != list(range(1, len(numbers) + 1)):
        report.violation("gap", f"{txn_id}: the revisions are {numbers}")
    before: Body | None = None
    for number in numbers:
        body = published.bodies[number]
        report.examined["results"] += 1
        report.examined["breaks"] += len(body["breaks"])
        report.examined["legs"] += len(body["legs"])
        for problems in (
            check_identity(body, published.records[number].key, rules),
            check_verdict(body),
            check_breaks(body),
            check_legs(body, sources, rules),
            check_step(before, body, sources, rules),
        ):
            for kind, text in problems:
                report.violation(kind, f"{txn_id} revision {number}: {text}")
        before = body
    if before is not None:
        report.facts[f"verdict {before['verdict']}"] += 1
        report.facts.update(f"open {b['class']} {b['subtype']}".rstrip() for b in open_part(before))


def judge_case(case: CaseTruth, published: Published, horizon: Horizon, options: Options, report: Report) -> None:
    """The last revision equals an allowed final picture; some order of arrival explains the whole chain."""
    revisions = [published.bodies[number] for number in sorted(published.bodies)]
    if revisions:
        report.examined["final verdicts"] += 1
        allowed = [final_part(picture) for picture in case.final_pictures(horizon)]
        last = {**revisions[-1], "breaks": open_part(revisions[-1])}
        last = {name: last[name] for name in allowed[0]}
        if last not in allowed:
            nearest = min((differences(a, last) for a in allowed), key=len)
            report.violation("final", f"{case.txn_id} revision {len(revisions)}: {'; '.join(nearest)}")
        ids = {b["break_id"] for b in revisions[-1]["breaks"]}
        must = [a.must_have_existed(horizon) for a in case.alternatives]
        may = frozenset().union(*(a.may_have_existed() for a in case.alternatives))
        if not any(m <= ids for m in must):
            report.violation(
                "break_never_listed",
                f"{case.txn_id}: {len(min(must, key=len) - ids)} breaks that existed in every order are not listed",
            )
        if not ids <= may:
            report.violation("phantom", f"{case.txn_id}: a break is listed that can never have existed")
    explanations = []
    for alternative in case.alternatives:
        explanations.append(explain(alternative, revisions, horizon, options.live_slack_ms))
        if explanations[-1].holds:
            report.examined["explained chains"] += 1
            return
    best = max(explanations, key=lambda e: e.furthest)
    if best.gave_up:
        report.facts["chains with too many orders"] += 1
        return
    if best.furthest >= len(revisions):
        wanted = "; ".join(f"{e['verdict']} {e['primary_class'] or ''}".strip() for e in best.expected[:3])
        report.violation(
            "unexplained",
            f"{case.txn_id}: after {len(revisions)} revisions another must follow ({wanted or 'a deadline did not pass'})",
        )
        return
    candidates = [differences(e, revisions[best.furthest]) for e in best.expected]
    nearest = min(candidates, key=len, default=["nothing is to be published there"])
    text = "; ".join(nearest)
    report.violation("unexplained", f"{case.txn_id} revision {best.furthest + 1}: no order of arrival gives it; {text}")


def final_part(picture: Picture) -> Body:
    """The part of a result that does not depend on how it came about."""
    return {
        "verdict": picture.verdict,
        "breaks": [break_body(b, "OPEN", None) for b in picture.breaks],
        "legs": [leg_body(leg) for leg in picture.legs],
        "amount_minor": picture.amount_minor,
        "currency": picture.currency,
        "primary_class": picture.breaks[0].cls if picture.breaks else None,
    }


def judge_mismatches(results: Mapping[str, Published], mismatches: Mapping[str, Published], report: Report) -> None:
    """recon_mismatches holds exactly the revisions that changed the set or content of the open breaks."""
    for txn_id in sorted(results.keys() | mismatches.keys()):
        bodies = results[txn_id].bodies if txn_id in results else {}
        there = mismatches[txn_id].bodies if txn_id in mismatches else {}
        news = {n for n, body in bodies.items() if is_mismatch_news(bodies.get(n - 1), body)}
        report.examined["mismatches"] += len(there)
        for number in sorted(news - there.keys()):
            report.violation(
                "mismatch_missing", f"{txn_id} revision {number} changed the open breaks and is not in recon_mismatches"
            )
        for number in sorted(there.keys() - news):
            report.violation(
                "mismatch_extra", f"{txn_id} revision {number} is in recon_mismatches and changed no open break"
            )
        for number in sorted(there.keys() & bodies.keys()):
            if there[number] != bodies[number]:
                text = "; ".join(differences(bodies[number], there[number]))
                report.violation("mismatch_differs", f"{txn_id} revision {number} in recon_mismatches: {text}")
            if mismatches[txn_id].records[number].key != txn_id.encode():
                report.violation("key", f"{txn_id} revision {number} in recon_mismatches has another key")


def judge_dead_letters(topics: Topics, truth: Truth, report: Report) -> None:
    """Exactly the expected coordinates, repeats allowed, with a reason of the right family and the record as it was."""
    originals = {s.record.at: s for s in truth.seen}
    found = set()
    for record in topics.dead_letters:
        where = f"recon_dead_letters[{record.partition}]@{record.offset}"
        try:
            letter = decode_registered(record.value, topics.schemas)
            at = (letter["topic"], letter["partition"], letter["offset"])
        except (ValueError, KeyError) as error:
            report.violation("undecodable", f"{where}: {error}")
            continue
        report.examined["dead letters"] += 1
        report.facts[f"dead letters {letter['reason']}"] += 1
        report.facts["dead letter repeats"] += at in found
        found.add(at)
        families = truth.dead_letters.get(at)
        if families is None:
            report.violation("dead_letter_extra", f"{where}: {at} is no dead letter")
            continue
        family = FAMILY_OF_REASON.get(letter["reason"])
        if family not in families:
            report.violation(
                "dead_letter_reason",
                f"{where}: {at} has the reason {letter['reason']}, it is {'/'.join(sorted(families))}",
            )
        original = originals[at]
        copied = (letter["key"], letter["value"], letter["timestamp"])
        if copied != (original.record.key, original.record.value, original.record.timestamp):
            report.violation(
                "dead_letter_content", f"{where}: key, value or timestamp of {at} is not that of the record"
            )
    for at in sorted(truth.dead_letters.keys() - found - truth.optional_dead_letters):
        report.violation(
            "dead_letter_lost", f"{at} ({'/'.join(sorted(truth.dead_letters[at]))}) is not in recon_dead_letters"
        )
