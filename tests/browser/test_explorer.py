"""The Explorer panel as its user meets it: looked at, clicked, dragged, typed into. Python is asked as well."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator

import pytest
from browser.lab import Lab, blank, eventually, pixels, same
from browser.panel import Panel
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.slow

CELL = """
import spade_widgets as sw
explorer = sw.Explorer(augmentations=64, steps=96)  # less than a user's, for the tests' time
explorer
"""
REMEMBER = """
start = {name: getattr(explorer, name) for name in ("preset", "solver", "layer", "sample_id", "sparsity", "neuron")}
"""
RETURN = """
for name, value in start.items():
    setattr(explorer, name, value)
explorer.error = ""
"""


@pytest.fixture(scope="module")
def opened(new_lab: Callable[[str], Lab]) -> Panel:
    """One panel that the tests below share: its kernel has computed the first pictures."""
    lab = new_lab("panel")
    lab.open(lab.write("explorer.ipynb", [CELL]))
    lab.run_all()
    panel = Panel(lab, lab.output(0))
    panel.await_shown()
    panel.await_pictures()
    lab.run(REMEMBER)
    return panel


@pytest.fixture
def panel(opened: Panel, request: pytest.FixtureRequest) -> Iterator[Panel]:
    """The shared panel, back at its first selection; it has not complained when the test ends."""
    opened.lab.run(RETURN)
    opened.await_pictures()
    yield opened
    opened.lab.screenshot(request.node.name.removeprefix("test_"))
    assert opened.lab.complaints() == []


def test_both_pictures_are_there_and_are_what_python_has(panel: Panel) -> None:
    dense, sparse = panel.picture("dense"), panel.picture("sparse")
    assert not blank(dense)
    assert not blank(sparse)
    assert not same(dense, sparse)
    assert same(dense, panel.png("dense"))
    assert same(sparse, panel.png("sparse"))
    assert not blank(panel.lab.screenshot("dense", panel.canvas("dense")))
    assert not blank(panel.lab.screenshot("trace", panel.canvas("sparse")))


def test_the_numbers_are_those_that_python_has(panel: Panel) -> None:
    shown = panel.numbers()
    rows = panel.lab.value("[[r['name'], r['dense'], r['sparse']] for r in explorer.predictions['rows']]")
    assert len(rows) >= 3
    assert list(shown.predictions) == [name for name, _, _ in rows]
    for name, dense, sparse in rows:
        assert float(shown.predictions[name][0]) == pytest.approx(100 * dense, abs=0.06)
        assert float(shown.predictions[name][1]) == pytest.approx(100 * sparse, abs=0.06)
    assert float(panel.sparsity.input_value()) == pytest.approx(100 * panel.lab.value("explorer.sparsity"))


def test_another_sample_changes_the_trace_and_its_numbers_but_not_the_dense_picture(panel: Panel) -> None:
    before, dense, sparse = panel.numbers(), panel.picture("dense"), panel.picture("sparse")
    panel.choose_sample(3)
    panel.await_pictures()
    after = panel.numbers()
    assert after.dense != before.dense
    assert after.predictions != before.predictions
    assert after.channels != before.channels
    assert same(panel.picture("dense"), dense)  # what excites a neuron of the dense model does not depend on a sample
    assert not same(panel.picture("sparse"), sparse)
    assert same(panel.picture("sparse"), panel.png("sparse"))


def test_the_slider_changes_the_trace_but_nothing_dense(panel: Panel) -> None:
    before, dense, sparse = panel.numbers(), panel.picture("dense"), panel.picture("sparse")
    page = panel.lab.page
    panel.slider.scroll_into_view_if_needed()
    track = panel.slider.bounding_box()
    assert track is not None
    page.mouse.move(track["x"] + 0.8 * track["width"], track["y"] + track["height"] / 3)
    page.mouse.down()
    for share in (0.6, 0.5, 0.4):
        page.mouse.move(track["x"] + share * track["width"], track["y"] + track["height"] / 3)
    page.mouse.up()
    value = float(panel.slider.get_attribute("aria-valuenow") or "nan")
    assert 0 < value < 0.9
    panel.await_value("explorer.sparsity", pytest.approx(value))
    panel.await_pictures()
    after = panel.numbers()
    assert after.dense == before.dense
    assert after.channels == before.channels
    assert after.predictions != before.predictions
    assert after.facts != before.facts
    assert same(panel.picture("dense"), dense)
    assert not same(panel.picture("sparse"), sparse)


def test_typing_a_sparsity_and_going_back_shows_the_former_at_once(panel: Panel) -> None:
    before, sparse = panel.numbers(), panel.picture("sparse")
    former = panel.sparsity.input_value()
    panel.type_sparsity("55")
    panel.await_pictures()
    assert not same(panel.picture("sparse"), sparse)
    panel.lab.run("seen = []; explorer.observe(lambda change: seen.append(change['new']['state']), names='sparse')")
    panel.type_sparsity(former)
    eventually(lambda: panel.numbers() == before, panel.lab.page, what="the former numbers")
    panel.await_pictures()
    eventually(lambda: same(panel.picture("sparse"), sparse), panel.lab.page, what="the former picture")
    assert "rendering" not in panel.lab.value("seen")
    panel.lab.run("explorer.unobserve_all('sparse')")


def test_another_channel_changes_both_pictures_and_no_number(panel: Panel) -> None:
    before, dense, sparse = panel.numbers(), panel.picture("dense"), panel.picture("sparse")
    panel.choose_channel(2)
    panel.await_pictures()
    assert panel.numbers() == before
    assert not same(panel.picture("dense"), dense)
    assert not same(panel.picture("sparse"), sparse)


def test_a_class_by_name_and_a_channel_by_number(panel: Panel) -> None:
    dense = panel.picture("dense")
    name = panel.lab.value("explorer.app['classes'][2]")
    panel.choose_class(name)
    panel.await_pictures()
    assert not same(panel.picture("dense"), dense)

    panel.type_channel("1")
    panel.await_value("explorer.neuron", f"{panel.layer.input_value()}:1")
    panel.await_pictures()

    panel.type_channel("100000")
    expect(panel.root.get_by_role("alert").filter(has_text="no channel 100000")).to_be_visible()
    assert panel.lab.value("explorer.neuron") == f"{panel.layer.input_value()}:1"
    panel.channel.press("Escape")


def test_another_layer_lists_other_channels(panel: Panel) -> None:
    before, dense = panel.numbers(), panel.picture("dense")
    first = panel.lab.value("explorer.layers[0]['name']")
    panel.layer.select_option(first)
    panel.await_value("explorer.layer", first)
    panel.await_pictures()
    after = panel.numbers()
    assert after.channels != before.channels
    assert (after.predictions, after.facts) == (before.predictions, before.facts)
    assert same(panel.picture("dense"), dense)


def test_stop_holds_the_rendering_and_resume_goes_on_to_the_same_picture(panel: Panel) -> None:
    page = panel.lab.page
    panel.choose_channel(4)
    eventually(lambda: panel.state("dense")[0] == "rendering" and panel.state("dense")[1] >= 3, page, what="rendering")
    panel.stop.click()
    expect(panel.resume).to_be_enabled()
    eventually(lambda: panel.state("dense")[0] == "stopped", page, what="stopped")
    held = panel.state("dense")
    page.wait_for_timeout(1500)
    assert panel.state("dense") == held
    assert held[1] >= 3
    assert not blank(panel.picture("dense"))
    assert panel.lab.value("explorer.status['state']") == "stopped"
    panel.lab.screenshot("stopped", panel.root)

    panel.resume.click()
    eventually(lambda: panel.state("dense") != held, page, what="going on")
    assert panel.state("dense")[1] >= held[1] or panel.state("dense")[0] == "done"
    panel.await_pictures()
    assert same(panel.picture("dense"), panel.png("dense"))
    expect(panel.stop).to_be_disabled()


def test_the_kernel_answers_while_the_worker_works(panel: Panel) -> None:
    panel.choose_channel(5)
    eventually(lambda: panel.state("dense")[0] == "rendering", panel.lab.page, what="rendering")
    assert panel.lab.value("6 * 7") == 42
    assert panel.state("dense")[0] == "rendering"
    panel.await_pictures()


def test_a_dropped_image_becomes_the_sample(panel: Panel) -> None:
    before = panel.numbers()
    count = panel.samples.get_by_role("radio").count()
    image = Image.radial_gradient("L").resize((70, 50))
    picture = Image.merge("RGB", (image, Image.new("L", image.size, 30), Image.linear_gradient("L").resize(image.size)))
    panel.lab.drop(panel.samples, "my <b>picture.png", png(picture), "image/png")
    expect(panel.samples.get_by_role("radio")).to_have_count(count + 1)
    new = panel.samples.get_by_role("radio", checked=True)
    expect(new).to_have_accessible_name(re.compile(re.escape("my <b>picture")))  # text, never markup
    panel.await_pictures()
    assert panel.numbers().dense != before.dense
    assert panel.lab.value("len(explorer.samples)") == count + 1


@pytest.mark.parametrize(
    ("name", "data"),
    [("notes.txt", b"not an image"), ("cut.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), ("empty.png", b"")],
    ids=["text", "truncated", "empty"],
)
def test_a_file_that_is_no_image_gets_one_sentence_and_the_panel_lives_on(panel: Panel, name: str, data: bytes) -> None:
    count = panel.samples.get_by_role("radio").count()
    panel.lab.drop(panel.samples, name, data, "image/png")
    sentence = eventually(panel.alert, panel.lab.page, what="a sentence")
    assert name.split(".", maxsplit=1)[0] in sentence
    assert sentence.count(". ") == 0
    assert "\n" not in sentence
    assert panel.lab.value("explorer.error") == sentence
    assert panel.samples.get_by_role("radio").count() == count

    panel.root.get_by_role("button", name="Dismiss").click()
    eventually(lambda: panel.alert() == "", panel.lab.page, what="the sentence gone")
    panel.choose_sample(1)
    panel.await_pictures()


def test_the_chart_and_the_table_of_what_is_left(panel: Panel) -> None:
    chart = panel.open_chart()
    assert not blank(panel.lab.screenshot("chart", chart))
    panel.root.get_by_role("button", name="Table").click()
    layers = panel.lab.value("[layer['name'] for layer in explorer.trace_summary['layers']]")
    expect(panel.table("layer").get_by_role("rowheader")).to_have_text(layers)
    panel.root.get_by_role("button", name="Chart").click()
    before = panel.lab.screenshot("chart-before", chart)
    panel.root.get_by_text("What is left").click()
    expect(chart).to_be_hidden()
    panel.type_sparsity("60")  # what is folded away is kept up to date
    panel.await_pictures()
    panel.open_chart()
    eventually(lambda: not same(panel.lab.screenshot("chart-after", chart), before), panel.lab.page, what="other bars")
    panel.root.get_by_text("What is left").click()


def test_a_picture_is_saved_as_png(panel: Panel) -> None:
    with panel.lab.page.expect_download() as download:
        panel.root.get_by_role("button", name="Save the trace's picture as PNG").click()
    assert download.value.suggested_filename.endswith(".png")
    assert same(download.value.path().read_bytes(), panel.picture("sparse"))


def test_the_copied_code_reproduces_the_screen(panel: Panel) -> None:
    panel.lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel.root.get_by_role("button", name="Copy code").click()
    expect(panel.root.get_by_role("button", name="Copied")).to_be_visible()
    code = panel.lab.page.evaluate("navigator.clipboard.readText()")
    assert code == panel.lab.value("explorer.code")
    compile(code, "<copied>", "exec")


def test_zoom_and_swipe(panel: Panel) -> None:
    before = panel.canvas("dense").bounding_box()
    panel.root.get_by_role("button", name="Zoom in").click()
    zoomed = panel.canvas("dense").bounding_box()
    trace = panel.canvas("sparse").bounding_box()
    assert before
    assert zoomed
    assert trace
    assert zoomed["width"] > before["width"]
    assert trace["width"] == pytest.approx(zoomed["width"])  # both pictures zoom as one
    panel.root.get_by_role("button", name=re.compile("show the whole picture")).click()

    panel.root.get_by_role("button", name="Swipe").click()
    divider = panel.root.get_by_role("slider", name=re.compile("^Swipe"))
    divider.press("End")
    all_dense = pixels(panel.lab.screenshot("swipe-dense", panel.canvas("dense")))
    divider.press("Home")
    all_trace = pixels(panel.lab.screenshot("swipe-trace", panel.canvas("dense")))
    assert abs(all_dense - all_trace).mean() > 0.01
    panel.root.get_by_role("button", name="Side by side").click()


def test_dark_theme(panel: Panel) -> None:
    light = pixels(panel.lab.screenshot("light", panel.root)).mean()
    shown, dense = panel.numbers(), panel.picture("dense")
    panel.lab.theme("JupyterLab Dark")
    try:
        dark = pixels(panel.lab.screenshot("dark", panel.root)).mean()
        assert dark < 0.45 < 0.6 < light
        assert panel.numbers() == shown
        assert same(panel.picture("dense"), dense)
        assert contrast(panel) >= 4.5  # WCAG AA
    finally:
        panel.lab.theme("JupyterLab Light")
    assert contrast(panel) >= 4.5


def contrast(panel: Panel) -> float:
    """The contrast of the panel's heading against its background, by WCAG's formula."""
    text, ground = panel.root.get_by_role("heading", name="SPADE Explorer").evaluate(
        """heading => {
          let ground = heading;
          const colour = element => getComputedStyle(element).backgroundColor;
          const clear = /rgba\\(.*, 0\\)|transparent/;
          while (ground.parentElement && clear.test(colour(ground))) ground = ground.parentElement;
          return [getComputedStyle(heading).color, colour(ground)];
        }"""
    )

    def luminance(colour: str) -> float:
        channels = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(text), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def test_narrow_cells_stack_the_columns(panel: Panel) -> None:
    sample, neuron = (panel.root.get_by_role("heading", name=name, exact=True) for name in ("Sample", "Neuron"))

    def places() -> tuple[float, float, float, float]:
        left, right = sample.bounding_box(), neuron.bounding_box()
        assert left
        assert right
        return left["x"], left["y"], right["x"], right["y"]

    x, y, other_x, other_y = places()
    assert other_x > x + 400
    page = panel.lab.page
    size = page.viewport_size
    assert size
    page.set_viewport_size({"width": 640, "height": 1000})
    try:
        eventually(lambda: abs(places()[2] - places()[0]) < 40, page, what="the columns one below the other")
        x, y, other_x, other_y = places()
        assert other_y > y + 100
        overflow = panel.root.evaluate("area => area.scrollWidth - area.clientWidth")
        assert overflow <= 1
        panel.lab.screenshot("narrow", panel.root)
    finally:
        page.set_viewport_size(size)


def test_every_control_is_reached_by_tab_with_a_visible_focus(panel: Panel) -> None:
    page = panel.lab.page
    panel.root.get_by_role("button", name="Copy code").focus()
    reached: dict[str, bool] = {}
    for key in ["Shift+Tab"] * 3 + ["Tab"] * 40:
        name, seen = page.evaluate(
            """() => {
              const at = document.activeElement;
              const style = getComputedStyle(at);
              const around = [at, at.parentElement].map(element => getComputedStyle(element));
              const ring = around.some(s => (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0)
                || s.boxShadow !== 'none');
              const label = at.getAttribute('aria-label') || at.labels?.[0]?.innerText || at.innerText || at.tagName;
              return [label.trim(), ring];
            }"""
        )
        reached[name] = reached.get(name, False) or seen
        page.keyboard.press(key)
    wanted = [
        r"Copy code",
        r"Fill the screen",
        r"Add image",
        r".*sample|.*",
        r"Dense: plus and minus zoom.*",
        r"Save the dense model's picture as PNG",
        r"Trace of this sample: plus and minus zoom.*",
        r"Save the trace's picture as PNG",
        r"Zoom in",
        r"Side by side",
        r"Swipe",
        r"Sparsity.*",
        r"(?i)layers",
        r"(?i)solver",
        r"Layer",
        r"(?i)channel.*",
        r"Channel \d+ .*",
        r"(?i)or a class",
        r"What is left.*",
    ]
    for pattern in wanted:
        found = [name for name in reached if re.fullmatch(pattern, name, re.DOTALL)]
        assert found, f"Tab does not reach {pattern}: {sorted(reached)}"
        assert any(reached[name] for name in found), f"the focus of {pattern} cannot be seen"


def test_the_slider_and_the_samples_by_keys(panel: Panel) -> None:
    former = float(panel.slider.get_attribute("aria-valuenow") or "nan")
    panel.slider.focus()
    panel.slider.press("ArrowLeft")
    value = float(panel.slider.get_attribute("aria-valuenow") or "nan")
    assert value < former
    panel.await_value("explorer.sparsity", pytest.approx(value))

    place = panel.lab.value("[s['id'] for s in explorer.samples].index(explorer.sample_id)")
    panel.samples.get_by_role("radio").nth(place).focus()
    panel.lab.page.keyboard.press("ArrowRight")
    panel.await_value(f"explorer.sample_id == explorer.samples[{place + 1}]['id']", True)
    panel.await_pictures()


def test_pictures_have_text_alternatives(panel: Panel) -> None:
    for image in panel.root.get_by_role("img").all():
        assert (image.get_attribute("aria-label") or image.get_attribute("alt") or "").strip()
    bare = panel.root.evaluate("area => area.querySelectorAll('img:not([alt])').length")
    assert bare == 0


def test_two_views_show_one_panel(panel: Panel) -> None:
    second = Panel(panel.lab, panel.lab.second_view(0))
    second.await_shown()
    for which in ("dense", "sparse"):
        eventually(lambda which=which: same(second.picture(which), panel.png(which)), panel.lab.page, what=which)
    assert second.numbers() == panel.numbers()

    second.choose_sample(2)
    expect(panel.samples.get_by_role("radio").nth(2)).to_have_attribute("aria-checked", "true")
    second.await_pictures()
    panel.await_pictures()
    for which in ("dense", "sparse"):
        eventually(lambda which=which: same(second.picture(which), panel.picture(which)), panel.lab.page, what=which)
    for view in (panel, second):
        view.open_chart()
    panel.lab.screenshot("both")

    panel.lab.close_view()
    panel.choose_sample(4)
    panel.await_pictures()
    eventually(
        lambda: same(panel.picture("sparse"), panel.png("sparse")), panel.lab.page, what="the first view lives on"
    )


def test_a_reloaded_page_shows_the_last_state_and_goes_on(panel: Panel) -> None:
    panel.choose_sample(3)
    panel.await_pictures()
    shown = panel.numbers()
    pictures = {which: panel.picture(which) for which in ("dense", "sparse")}
    panel.lab.save()
    panel.lab.reload()
    panel.await_shown()
    eventually(lambda: panel.numbers() == shown, panel.lab.page, what="the last numbers")
    for which, picture in pictures.items():
        eventually(lambda which=which, picture=picture: same(panel.picture(which), picture), panel.lab.page, what=which)
    expect(panel.samples.get_by_role("radio").nth(3)).to_have_attribute("aria-checked", "true")

    panel.choose_sample(5)
    panel.await_pictures()


def png(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
