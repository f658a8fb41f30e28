"""The Explorer panel as its user meets it: looked at, clicked, dragged, typed into. Python is asked as well."""

from __future__ import annotations

import io
import re

import pytest
from browser.lab import blank, eventually, same
from browser.panel import Panel
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


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


def test_layers_are_chosen_by_pattern_and_one_that_matches_nothing_can_be_mended(panel: Panel) -> None:
    presets, pattern = panel.root.get_by_label("layers", exact=True), panel.root.get_by_label("Layer name patterns")
    former = panel.lab.value("explorer.preset")
    presets.select_option("pattern")
    expect(pattern).to_be_focused()
    pattern.fill("nolayer*")
    pattern.press("Enter")
    expect(panel.root.get_by_role("alert")).to_contain_text("matches 'nolayer*'")
    assert panel.lab.value("explorer.preset") == former
    expect(pattern).to_have_value("nolayer*")
    pattern.fill("fc")
    pattern.press("Enter")
    panel.await_value("explorer.preset", "pattern")
    panel.await_value("list(explorer.trace.plan.layers) if explorer.trace else None", ["fc"])
    expect(pattern).to_have_value("fc")
    presets.select_option(former)
    panel.await_value("explorer.preset", former)
    panel.await_pictures()


def test_stop_holds_the_rendering_and_resume_goes_on_to_the_same_picture(panel: Panel) -> None:
    page = panel.lab.page
    panel.lab.run("explorer.session.steps = 96")  # so that there is time to stop it
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
    panel.lab.run("explorer.session.steps = 96")  # so that there is time to ask
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
    _assert_a_bar_a_layer(panel, "chart")
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


def _assert_a_bar_a_layer(panel: Panel, name: str) -> None:
    layers = panel.lab.value("[layer['name'] for layer in explorer.trace_summary['layers']]")
    eventually(lambda: sorted(panel.bars()) == sorted(layers), panel.lab.page, what="a bar a layer, by its name")
    assert all(kept > 0 and error > 0 for kept, error in panel.bars().values())
    panel.lab.screenshot(name, panel.root.locator(".js-plotly-plot"))


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
    panel.open_chart()
    _assert_a_bar_a_layer(panel, "chart-reloaded")
    panel.root.get_by_text("What is left").click()

    panel.choose_sample(5)
    panel.await_pictures()


def png(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
