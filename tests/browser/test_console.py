"""The console as people use it, in a browser: two persons let held use in, a rule is tried, a draft is issued."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import SignIn


def test_revops_proposes_finance_approves_and_the_preview_changes(sign_in: SignIn) -> None:
    robin = sign_in("robin")
    page = robin.open("/admin/quarantine/heldrecord/queue/")
    group = page.get_by_role("row").filter(has_text="acme-prodd")
    expect(group).to_contain_text("10")
    group.get_by_role("checkbox").check()
    page.get_by_role("button", name="Propose for 1 ticked group").click()
    page.locator("button[name=suggested]").first.click()
    page.locator("textarea[name=reason]").fill("The production gateway misspells its own name")
    page.locator("button.primary[value=preview]").click()
    expect(page.get_by_text("Nothing is stored yet")).to_be_visible()
    page.get_by_role("button", name="Propose it").click()

    page = robin.open("/admin/quarantine/proposal/?state=waiting")
    page.locator("a[href*='/proposal/'][href*='/change/']").first.click()
    expect(page.get_by_text("another person has to approve it")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)

    fiona = sign_in("fiona")
    page = fiona.open("/admin/contracts/customer/")
    page.get_by_role("link", name="Acme Corp").first.click()
    overview = page.url
    before = page.locator("body").inner_text()
    assert "800" not in before
    page = fiona.open("/admin/quarantine/proposal/?state=waiting")
    page.locator("a[href*='/proposal/'][href*='/change/']").first.click()
    page.get_by_role("button", name="Approve").first.click()
    page.locator("input[type=submit].primary").click()
    expect(page.get_by_role("row").filter(has_text="Counted").first).to_contain_text("10")
    page.goto(overview)
    # 500 + 10 x 30 words at 0.01 each
    body = page.locator("body")
    expect(body).to_contain_text("800")
    expect(body).to_contain_text("8.00 USD")


def test_a_rule_of_a_source_is_tried_before_it_counts(sign_in: SignIn) -> None:
    page = sign_in("robin").open("/admin/billing/source/")
    page.locator("a[href*='/source/'][href*='/change/']").first.click()
    record = (
        '{"id": "t1", "source": "gateway", "type": "text.translated", "subject": "acme-prod", "data": {"words": 12}}'
    )
    page.locator("textarea#record").fill(record)
    page.get_by_role("button", name="Try it").click()
    trial = page.locator(".trial")
    expect(trial).to_contain_text("It would be accepted")
    expect(trial).to_contain_text("12")
    expect(trial).to_contain_text("Acme Corp")
    page.locator("textarea#record").fill(record.replace("acme-prod", "nobody").replace("12", '"many"'))
    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".trial")).not_to_contain_text("It would be accepted")
    page.locator("textarea#record").fill("{")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".errornote")).to_be_visible()


def test_a_draft_is_looked_at_and_issued_by_finance_alone(sign_in: SignIn) -> None:
    page = sign_in("robin").open("/admin/billing/invoice/review/")
    expect(page.get_by_role("row").filter(has_text="Acme Corp")).to_contain_text("10.00")
    expect(page.get_by_role("button", name="Issue")).to_have_count(0)

    page = sign_in("fiona").open("/admin/billing/invoice/review/")
    page.get_by_label("Choose the draft for Acme Corp").check()
    page.get_by_role("button", name="Issue chosen").click()
    # 1,000 words at 0.01: the customer owes nothing now, 10.00 after.
    expect(page.locator(".deed-case")).to_contain_text("10.00")
    page.locator("input[type=submit].primary").click()
    page.goto(page.url.partition("/admin/")[0] + "/admin/billing/invoice/")
    expect(page.get_by_role("row").filter(has_text="INV-000001")).to_contain_text("10.00 USD")


def test_an_auditor_reads_everything_and_is_offered_no_deed(sign_in: SignIn) -> None:
    arthur = sign_in("arthur")
    for path in ("", "quarantine/heldrecord/queue/", "billing/invoice/review/", "contracts/customer/"):
        page = arthur.open(f"/admin/{path}")
        expect(page.get_by_role("button", name="Propose")).to_have_count(0)
        expect(page.get_by_role("button", name="Issue")).to_have_count(0)
