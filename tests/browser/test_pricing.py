"""A tiered price launched in a browser: drafted, calculated, approved by another, tried on a contract, and moved to."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import NOW, SignIn

TIERS = [("100", "0.02"), ("1000", "0.01"), ("", "0.005")]


def test_a_tiered_price_is_launched_and_customers_are_moved_by_hand(sign_in: SignIn) -> None:
    robin = sign_in("robin")
    page = robin.open("/admin/catalog/plan/")
    page.get_by_role("link", name="translate").first.click()
    page.get_by_role("link", name="New version").click()
    page.get_by_label("Currency").fill("USD")
    page.get_by_role("button", name="Save and continue editing").click()
    version = page.url

    page.get_by_role("link", name="Add a price").click()
    page.locator("[name=key]").fill("words")
    page.locator("[name=name]").fill("Words")
    page.locator("[name=kind]").select_option("usage")
    expect(page.locator("#tiers-group")).to_be_hidden()
    expect(page.locator("[name=flat_amount]")).to_be_visible()
    page.locator("[name=model]").select_option("graduated")
    expect(page.locator("[name=flat_amount]")).to_be_hidden()
    page.locator("[name=meter]").select_option(label="words")
    for index, (end, amount) in enumerate(TIERS):
        page.locator(f"[name=tiers-{index}-up_to]").fill(end)
        page.locator(f"[name=tiers-{index}-unit_amount]").fill(amount)
    page.locator("#calculator-quantity").fill("1200")
    # 100 at 0.02, 900 at 0.01 and 200 at 0.005: 2.00 + 9.00 + 1.00
    expect(page.locator(".calculator-answer .amount")).to_contain_text("12.00 USD")
    page.locator("[name=tiers-1-up_to]").fill("50")
    # Tiers are taken by their ends: 50 at 0.01, 50 at 0.02 and 1,100 at 0.005
    expect(page.locator(".calculator-answer .amount")).to_contain_text("7.00 USD")
    page.locator("[name=tiers-1-up_to]").fill("1000")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("table.figures").first).to_contain_text("0.02 up to 100, then 0.01 up to 1,000")

    # Tried on the contract before anybody approves it. Yesterday: 1,000 words, 10.00 -> 2.00 + 9.00
    page.get_by_role("link", name="Try it on contracts").click()
    page.get_by_role("button", name="See it for all 1").click()
    tried = page.get_by_role("row").filter(has_text="A-1")
    expect(tried).to_contain_text("10.00")
    expect(tried).to_contain_text("11.00")
    expect(tried).to_contain_text("+1.00")
    expect(page.locator("button[name=confirmed]")).to_have_count(0)

    page.goto(version)
    page.get_by_role("button", name="Submit for review").click()
    expect(page.get_by_text("Publishing moves nobody.")).to_be_visible()
    expect(page.locator("table.tiers")).to_contain_text("up to 1,000")
    page.locator("input[type=submit].primary").click()

    approver = sign_in("fiona").page
    approver.goto(version)
    approver.get_by_role("button", name="Approve and publish").click()
    expect(approver.locator(".deed-case")).to_contain_text("+1.00")
    approver.locator("input[type=submit].grave").click()
    expect(approver.get_by_text("translate@2 is published.")).to_be_visible()
    expect(approver.get_by_role("link", name="Move contracts here")).to_have_count(0)

    page.goto(version)
    expect(page.locator("#moves")).to_contain_text("No contract was moved")
    page.get_by_role("link", name="Move contracts here").click()
    page.get_by_label("From").fill(NOW.date().isoformat())
    page.get_by_role("button", name="Show who can be chosen").click()
    page.get_by_label("Choose A-1").check()
    page.get_by_role("button", name="See what changes for those chosen").click()
    expect(page.get_by_text("Nothing is stored yet.")).to_be_visible()
    page.get_by_role("button", name="Move 1 contract from").click()
    expect(page.locator("#moves").get_by_role("row").filter(has_text="A-1")).to_contain_text("robin")

    page = robin.open("/admin/contracts/customer/")
    page.get_by_role("link", name="Acme Corp").first.click()
    # Today: 500 words; 100 at 0.02 and 400 at 0.01
    expect(page.locator("details.sheet").first).to_contain_text("6.00 USD")
