"""The dashboard as people see it, in a real browser, logged in by the real Keycloak, in front of the whole running system."""

from __future__ import annotations

import uuid
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from recon_stream.security.roles import Role
from tests.dashboard.chromium import violations
from tests.dashboard.office import Office, said

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

EVERYWHERE = ["Overview", "Exceptions", "Transactions", "Live", "System", "Settings"]
PAGES = {
    Role.ADMIN: {*EVERYWHERE, "Dead letters", "Audit"},
    Role.AUDITOR: {*EVERYWHERE, "Dead letters", "Audit"},
    Role.OPERATOR: {*EVERYWHERE, "Dead letters"},
    Role.VIEWER: {*EVERYWHERE},
}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PATHS = ["/", "/exceptions", "/transactions", "/live", "/dead-letters", "/audit", "/system", "/settings"]


def new_id() -> str:
    """Of a transaction that no other test knows."""
    return f"TX-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("who", list(Role))
def test_each_role_sees_its_pages_and_is_refused_the_others(office: Office, who: Role) -> None:
    """The navigation has just what the table allows; an address that is typed says that it is not allowed."""
    with office.seat(who) as page:
        names = page.get_by_role("navigation", name="Pages").get_by_role("link").all_inner_texts()
        assert set(names) == PAGES[who]
        page.goto(f"{office.base}/audit")
        if "Audit" in PAGES[who]:
            expect(page.get_by_role("heading", name="Audit")).to_be_visible()
        else:
            expect(page.get_by_text("Your roles do not allow this")).to_be_visible()


def test_a_break_appears_is_opened_explained_and_closed_before_ones_eyes(office: Office) -> None:
    """Nothing is reloaded by hand: the new break is told, its transaction names the odd one out, and the correction closes it."""
    txn = new_id()
    with office.seat(Role.OPERATOR, "/exceptions") as page:
        expect(page.get_by_role("status").filter(has_text="Live updates: Live")).to_be_visible()
        office.report(said(txn, "CORE"), said(txn, "MOBILE"), said(txn, "GATEWAY", amount_minor=12300, currency="EUR"))
        page.get_by_role("button", name="new").click()
        row = page.get_by_role("row").filter(has_text=txn)
        expect(row).to_contain_text("Amount")
        row.click()
        page.wait_for_url(f"**/transactions/{txn}?**")
        expect(page.get_by_text("Gateway differs from the others in the amount")).to_be_visible()
        cell = page.get_by_role("row", name="Amount").get_by_role("cell").filter(has_text="differs")
        expect(cell).to_contain_text("123.00")
        office.report(said(txn, "GATEWAY", revision=1))
        expect(page.get_by_text("All three sources say the same.")).to_be_visible()
        page.get_by_role("radio", name="History").click()
        expect(page.get_by_text("Resolved", exact=True)).to_be_visible()


def test_a_viewer_sees_no_account_number(office: Office) -> None:
    """Not in the legs, not in what the browser was sent."""
    txn = new_id()
    office.report(*(said(txn, source) for source in ("CORE", "GATEWAY", "MOBILE")))
    sent: list[str] = []
    with office.seat(Role.VIEWER) as page:
        page.on("response", lambda answer: sent.append(answer.text()) if f"/{txn}" in answer.url else None)
        until_there(page, office, txn)
        expect(page.get_by_role("rowheader", name="Account")).to_be_visible()
        assert page.get_by_role("radio", name="Source records").count() == 0
        assert sent
        assert not any("DE89370400440532013000" in text for text in [page.content(), *sent])


def until_there(page: Page, office: Office, txn: str) -> None:
    """Open a transaction that the sink is about to store."""
    page.goto(f"{office.base}/transactions/{txn}")
    nothing = page.get_by_text("There is no such transaction")
    for _ in range(20):
        page.locator("[data-page-title]").or_(nothing).first.wait_for()
        if nothing.count() == 0:
            return
        page.wait_for_timeout(500)
        page.reload()


def test_a_cut_socket_catches_up_without_a_gap(office: Office) -> None:
    """What was reported while the browser was offline stands in the live view once it is back, each record once."""
    before, meanwhile = new_id(), new_id()
    with office.seat(Role.OPERATOR, "/live") as page:
        expect(page.get_by_text("results/s")).to_be_visible()
        office.report(*(said(before, source) for source in ("CORE", "GATEWAY", "MOBILE")))
        matched = page.get_by_role("row").filter(has_text="Matched")
        expect(matched.filter(has_text=before)).to_have_count(1)
        page.context.set_offline(True)
        office.report(*(said(meanwhile, source) for source in ("CORE", "GATEWAY", "MOBILE")))
        expect(page.get_by_text("Reconnecting")).to_be_visible()
        page.context.set_offline(False)
        expect(matched.filter(has_text=meanwhile)).to_have_count(1)
        expect(matched.filter(has_text=before)).to_have_count(1)


def test_axe_finds_nothing_on_any_page_in_either_theme(office: Office) -> None:
    """WCAG 2.2 AA, by its rules that a program can check, on every page and on a transaction with a break."""
    txn = new_id()
    office.report(said(txn, "CORE"), said(txn, "MOBILE"), said(txn, "GATEWAY", amount_minor=12300))
    found: dict[str, list[str]] = {}
    with office.seat(Role.ADMIN) as page:
        until_there(page, office, txn)
        for path in (f"/transactions/{txn}", *PATHS):
            page.goto(office.base + path)
            page.wait_for_selector("[data-page-title]")
            page.wait_for_timeout(2500)
            for theme in THEMES:
                page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                page.wait_for_selector(f"html[data-theme={theme}]", state="attached")
                found[f"{path} {theme}"] = violations(page)
    assert [f"{path}: {told}" for path, each in found.items() for told in each] == []
