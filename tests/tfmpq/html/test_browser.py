"""Pages in Chromium: no complaint, hover, click, keys and copying work, at two widths, light and dark.

Needs the packages of the extra ``browser`` and Debian's Chromium (``make html-test``); skipped without them. Pictures
of all pages stay in build/html.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import HOSTILE, benchmarked, compared, report, sweep
from tfmpq.html.page import Page, to_html

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # of others' packages
]
PICTURES = Path(__file__).parents[3] / "build" / "html"
LOOKS = [(width, scheme) for width in (390, 1400) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A function: opens a page; what the console says and what is asked of a network fails the test."""
    contexts, complaints = [], []

    def open_page(content: Page, width: int = 1400, scheme: str = "light", **options: Any) -> Any:
        path = tmp_path / "page.html"
        path.write_text(to_html(content), "utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else complaints.append(request.url),
        )
        tab.goto(path.as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


PAGES = {
    "conversion": lambda: report(30, name="efficientnet/blocks_{}/expand/pointwise_conv").page("net.tflite"),
    "sweep": lambda: sweep(3, 4, 20),
    "benchmark": benchmarked,
    "diff": lambda: compared(20),
}


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_it_fits_and_everyone_can_read_it(opened: Any, name: str, width: int, scheme: str):
    tab = opened(PAGES[name](), width, scheme, bypass_csp=True)  # axe brings a script of its own
    if name == "sweep":
        tab.locator("a.point").nth(3).click(force=True)
    assert tab.evaluate("document.documentElement.scrollWidth") == width  # tables move by themselves
    if (width < 1000) == (scheme == "dark"):  # seconds each: both widths and both schemes once
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        violations = axe.Axe().run(tab).response["violations"]
        assert [(entry["id"], entry["nodes"][0]["html"]) for entry in violations] == []
    PICTURES.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=PICTURES / f"{name}_{width}_{scheme}.png", full_page=True)


def test_hover_says_what_a_point_is_and_click_leads_to_its_layers(opened: Any):
    tab = opened(report(5).page())
    point = tab.locator("a.point", has_text="tfmpq").first
    point.locator(".mark").hover()
    assert "agrees on 23 of 25 (75-98 %)" in tab.locator("#tip").inner_text()
    tab.mouse.move(0, 0)
    assert tab.locator("#tip").is_hidden()
    point.locator(".mark").click()
    assert tab.url.endswith("#layers")


def test_a_finger_is_told_too(opened: Any):
    tab = opened(report(5).page(), 390, has_touch=True, is_mobile=True)
    tab.locator(".map a").nth(4).tap()
    assert tab.locator("#tip").inner_text().startswith("4: CONV_2D\nnet/block_1/conv\nXNNPACK runs it")


def test_a_point_of_a_sweep_shows_the_layers_of_its_file(opened: Any):
    tab = opened(sweep(2, 3, 7))
    point = tab.locator("a.point[aria-label^='model 1 w4 extra:2']").first
    point.locator(".mark").click()
    assert tab.locator("#panel h3").inner_text() == "model 1 w4 extra:2"
    assert tab.locator("#panel tbody tr").count() == 7
    assert tab.locator("#panel tbody tr").first.inner_text().startswith("model 1/block_0/conv")
    assert tab.locator("tr.chosen").inner_text().startswith("model 1 w4 extra:2")
    tab.locator("#rows a", has_text="model 0 w4 extra:0").click()
    assert tab.locator("#panel h3").inner_text() == "model 0 w4 extra:0"
    tab.locator("#rows a", has_text="model 0 stock").click()  # it has none: its row is shown
    assert tab.locator("tr.chosen").inner_text().startswith("model 0 stock")


def test_keys_reach_everything(opened: Any):
    tab = opened(report(5).page())

    def focused(script: str) -> Any:
        return tab.evaluate(f"(e => {script})(document.activeElement)")

    def tab_to(selector: str) -> None:
        for _ in range(100):
            tab.keyboard.press("Tab")
            if focused(f"e.matches({selector!r})"):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to("a.point")
    assert tab.locator("#tip").is_visible()
    tab.keyboard.press("Escape")
    assert tab.locator("#tip").is_hidden()
    tab_to("button.sort")
    tab_to("button.sort")  # bits
    tab.keyboard.press("Enter")
    assert tab.locator("th[aria-sort=descending]").inner_text().startswith("bits")
    bits = tab.locator("#layers tbody td:nth-child(2)").all_inner_texts()
    assert bits == sorted(bits, reverse=True)
    tab.keyboard.press("Enter")
    assert tab.locator("#layers tbody td:nth-child(2)").all_inner_texts() == bits[::-1]
    tab_to(".map a")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#tip").inner_text().startswith("1: CONV_2D")
    tab.keyboard.press("End")
    assert tab.locator("#tip").inner_text().startswith("14: CONCATENATION")
    tab.keyboard.press("Tab")
    assert not focused("e.matches('.map a')")  # one stop of the Tab key


def test_a_rule_is_copied_as_it_is(opened: Any):
    tab = opened(report(3, name='odd "name" <{}>').page(), permissions=["clipboard-read", "clipboard-write"])
    rule = tab.locator("code.copy").first
    tab.locator("td button.do-copy").first.click()
    tab.locator("td [aria-live]", has_text="copied").first.wait_for()
    assert tab.evaluate("navigator.clipboard.readText()") == rule.inner_text()


def test_names_do_nothing(opened: Any):
    for page in (report(3, name=HOSTILE + "{}").page(HOSTILE), sweep(2, 2, 3, name=HOSTILE + "{}")):
        tab = opened(page)
        tab.locator("a.point").last.locator(".mark").click()
        assert tab.evaluate("window.hacked") is None
        assert tab.locator("img").count() == 0


def test_it_prints(opened: Any):
    tab = opened(report(30).page(), 1400, "dark")
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.locator("nav").is_hidden()
    PICTURES.mkdir(parents=True, exist_ok=True)
    assert tab.pdf(path=PICTURES / "conversion.pdf").startswith(b"%PDF")
