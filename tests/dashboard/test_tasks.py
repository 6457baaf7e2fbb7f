"""What people do with the dashboard: work on letters, take lists along, share views, end their session; and all of it by keyboard."""

from __future__ import annotations

import csv
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from recon_stream.security.roles import Role
from recon_stream.settings import Settings
from tests.dashboard.office import Office, said
from tests.security.logins import dashboard_client

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

SOURCES = ("CORE", "GATEWAY", "MOBILE")
STOPS_MAX = 60
"""So often, at most, is Tab pressed on the way to something."""
SHORT_SESSION_SECONDS = 124
"""The dialog comes two minutes before the end, so four seconds after the log-in."""
IDLE_SECONDS = 20
_MARK = "window.neverReloaded = true"
_IS_MARKED = "window.neverReloaded === true"


def broken(office: Office, number: int = 1) -> list[str]:
    """Transactions whose amounts differ, their ids with a beginning of their own; stored."""
    prefix = f"TX-{uuid.uuid4().hex[:12]}"
    found = [f"{prefix}-{each}" for each in range(number)]
    for txn in found:
        office.report(said(txn, "CORE"), said(txn, "MOBILE"), said(txn, "GATEWAY", amount_minor=12300))
    for txn in found:
        office.until_stored(f"/transactions/{txn}")
    return found


def look_for(page: Page, text: str) -> None:
    """By the search field of a list, from anywhere on the page."""
    page.keyboard.press("/")
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def rows_with(page: Page, text: str) -> Locator:
    """Rows of the list, its heading left out."""
    return page.get_by_role("row").filter(has_text=text)


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus."""
    for _ in range(STOPS_MAX):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached by Tab")


def exported(page: Page, folder: Path) -> list[dict[str, str]]:
    """The rows of the file that the menu's first entry saves; the menu is opened and used by keyboard."""
    tab_to(page, page.get_by_role("button", name="Export"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="CSV")).to_be_focused()
    with page.expect_download() as saved:
        page.keyboard.press("Enter")
    saved.value.save_as(folder / "export.csv")
    with (folder / "export.csv").open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_a_restart_of_the_web_process_is_survived_without_a_reload_and_without_a_gap(office: Office) -> None:
    """What was reported while there was no web process stands in the live view of the same page, each record once."""
    before, meanwhile = (f"TX-{uuid.uuid4().hex[:12]}" for _ in range(2))
    with office.seat(Role.OPERATOR, "/live") as page:
        page.evaluate(_MARK)
        expect(page.get_by_text("results/s")).to_be_visible()
        office.report(*(said(before, source) for source in SOURCES))
        matched = rows_with(page, "Matched")
        expect(matched.filter(has_text=before)).to_have_count(1)
        with office.closed():
            expect(page.get_by_text("Reconnecting")).to_be_visible()
            office.report(*(said(meanwhile, source) for source in SOURCES))
        expect(matched.filter(has_text=meanwhile)).to_have_count(1)
        expect(matched.filter(has_text=before)).to_have_count(1)
        assert page.evaluate(_IS_MARKED)


def test_a_dead_letter_is_replayed_after_a_trial(office: Office) -> None:
    """The trial sends nothing; done, the letter says who did it and why, and the API knows it too."""
    letter = office.spoil()
    with office.seat(Role.OPERATOR, f"/dead-letters?letter={letter}") as page:
        dialog = page.get_by_role("dialog", name="Dead letter")
        dialog.get_by_label("Why").fill("the feed was corrected")
        dialog.get_by_role("button", name="Replay…").click()
        expect(dialog.get_by_text("This would be done now.")).to_be_visible()
        operator = office.desk.person(Role.OPERATOR)
        assert operator.get(f"/dead-letters/{letter}").json()["state"] == "OPEN"
        dialog.get_by_role("button", name="Send it now").click()
        expect(dialog.get_by_text("Replay by operator")).to_be_visible()
        expect(dialog.get_by_text("the feed was corrected")).to_be_visible()
        assert operator.get(f"/dead-letters/{letter}").json()["state"] == "REPLAYED"


def test_a_dead_letter_is_discarded_and_found_in_the_audit_trail_by_keyboard_alone(office: Office) -> None:
    """From the log-in to the entry that names who did it, without a pointer."""
    letter = office.spoil()
    with office.seat(Role.ADMIN) as page:
        page.keyboard.press("g")
        page.keyboard.press("d")
        tab_to(page, page.get_by_role("button", name=letter, exact=True))
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Dead letter")
        tab_to(page, dialog.get_by_label("Why"))
        page.keyboard.type("not a payment")
        tab_to(page, dialog.get_by_role("button", name="Discard…"))
        page.keyboard.press("Enter")
        tab_to(page, dialog.get_by_role("button", name="Discard it now"))
        page.keyboard.press("Enter")
        expect(dialog.get_by_text("Discard by admin")).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        page.keyboard.press("g")
        page.keyboard.press("a")
        tab_to(page, page.get_by_label("Object"))
        page.keyboard.type(letter)
        page.keyboard.press("Enter")
        entry = rows_with(page, letter).filter(has_text="discard")
        expect(entry.first).to_contain_text("admin")


def test_a_break_is_found_opened_and_taken_along_by_keyboard_alone(office: Office, tmp_path: Path) -> None:
    """Search, open, back to the same list, export: the file has that row. The focus goes along, as with a page load."""
    (txn,) = broken(office)
    with office.seat(Role.OPERATOR) as page:
        page.keyboard.press("g")
        page.keyboard.press("e")
        expect(page.get_by_role("heading", name="Exceptions")).to_be_focused()
        expect(rows_with(page, txn)).to_have_count(1)
        look_for(page, txn)
        # its heading and that row: what was there before is gone
        expect(page.get_by_role("grid").get_by_role("row")).to_have_count(2)
        expect(rows_with(page, txn)).to_have_count(1)
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/transactions/{txn}?**")
        expect(page.get_by_text("Gateway differs from the others in the amount")).to_be_visible()
        # Alt and the left arrow are the browser's own, not the page's
        page.go_back()
        expect(rows_with(page, txn)).to_have_count(1)
        assert [row["txn_id"] for row in exported(page, tmp_path)] == [txn]


def test_an_export_holds_the_rows_that_are_shown(office: Office, tmp_path: Path) -> None:
    """All that fits the filters and nothing else, amounts included."""
    shown, other = broken(office, 3), broken(office)
    prefix = shown[0].rpartition("-")[0]
    with office.seat(Role.OPERATOR, "/exceptions") as page:
        expect(page.get_by_role("heading", name="Exceptions")).to_be_visible()
        look_for(page, prefix)
        expect(rows_with(page, prefix)).to_have_count(len(shown))
        expect(rows_with(page, other[0])).to_have_count(0)
        rows = exported(page, tmp_path)
    assert sorted(row["txn_id"] for row in rows) == shown


def test_a_view_is_saved_and_shared_by_its_link(office: Office) -> None:
    """Under its name it is back after the filters were cleared; by its address a colleague sees the same rows."""
    (txn,) = broken(office)
    (other,) = broken(office)
    with office.seat(Role.OPERATOR, "/transactions") as page:
        expect(rows_with(page, other)).to_have_count(1)
        page.get_by_label("Period").select_option("Last hour")
        look_for(page, txn)
        expect(rows_with(page, other)).to_have_count(0)
        address = page.url
        page.get_by_role("button", name="Views").click()
        page.get_by_role("menuitem", name="Save this view").click()
        page.get_by_label("Name").fill("The one that matters")
        page.get_by_role("button", name="Save").click()
        page.goto(f"{office.base}/transactions")
        expect(rows_with(page, other)).to_have_count(1)
        page.get_by_role("button", name="Views").click()
        page.get_by_role("menuitem", name="The one that matters", exact=True).click()
        expect(rows_with(page, other)).to_have_count(0)
        expect(rows_with(page, txn)).to_have_count(1)
        assert page.url == address
    with office.seat(Role.VIEWER, address.removeprefix(office.base)) as page:
        expect(page.get_by_text(f"Text: {txn}")).to_be_visible()
        expect(rows_with(page, txn)).to_have_count(1)
        expect(rows_with(page, other)).to_have_count(0)


def test_a_session_that_is_about_to_end_is_told_and_renewed(office: Office, identity: Settings) -> None:
    """The dialog comes while there is time; staying gives a new session without leaving the page."""
    short = {"client.session.idle.timeout": str(SHORT_SESSION_SECONDS)}
    with dashboard_client(identity, attributes=short), office.seat(Role.OPERATOR, "/exceptions") as page:
        page.evaluate(_MARK)
        dialog = page.get_by_role("dialog", name="Are you still there?")
        expect(dialog).to_be_visible()
        dialog.get_by_role("button", name="Stay signed in").click()
        expect(dialog).to_be_hidden()
        assert page.evaluate(_IS_MARKED)


def test_a_page_that_nobody_uses_ends_its_session_however_much_it_asks(office: Office, identity: Settings) -> None:
    """Keycloak's limit counts from the last touch; the form hides the page, and whoever logs in comes back to it."""
    short = {"client.session.idle.timeout": str(IDLE_SECONDS)}
    with dashboard_client(identity, attributes=short), office.seat(Role.OPERATOR, "/exceptions?severity=LOW") as page:
        expect(page.get_by_role("dialog", name="Are you still there?")).to_be_visible()
        expect(page.locator("#username")).to_be_visible(timeout=2 * 1000 * IDLE_SECONDS)
        page.fill("#username", "operator")
        page.fill("#password", "operator123")
        page.click("#kc-login")
        expect(page.get_by_role("heading", name="Exceptions")).to_be_visible()


def test_after_the_log_out_nothing_is_shown(office: Office) -> None:
    """Neither on the page that follows nor by the browser's way back: both ask who one is."""
    (txn,) = broken(office)
    with office.seat(Role.OPERATOR, f"/transactions/{txn}") as page:
        expect(page.get_by_role("heading", name=txn)).to_be_visible()
        page.get_by_role("button", name="Account of operator").click()
        page.get_by_role("menuitem", name="Sign out").click()
        form = page.locator("#username")
        expect(form).to_be_visible()
        assert txn not in page.content()
        page.go_back()
        expect(form).to_be_visible()
        assert txn not in page.content()
