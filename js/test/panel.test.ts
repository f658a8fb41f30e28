// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { afterEach, expect, test, vi } from "vitest";
import { FakeModel } from "../demo/fakeModel";
import { find, type Mounted, mount, png, press, Screen, settle, traits, type } from "./panel.setup";

const mounted: Mounted[] = [];
const show = async (...args: Parameters<typeof mount>) => {
  const panel = await mount(...args);
  mounted.push(panel);
  return panel;
};

afterEach(async () => {
  for (const panel of mounted.splice(0)) await panel.unmount();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("titles, labels and class names are text, never markup", async () => {
  const { el } = await show({ error: "<script>x</script> is no layer." });
  expect(el.querySelector("img[src=x], .sw-tile b, script, i")).toBeNull();
  expect(find(el, ".sw-tile:nth-child(2)").textContent).toBe("<b>dog</b>");
  expect(find(el, ".sw-tile:nth-child(2)").title).toBe("<img src=x onerror=alert(1)> · <b>dog</b>");
  expect(find(el, ".sw-error").textContent).toBe("<script>x</script> is no layer.");
});

test("a panel of which Python has said nothing yet stands, empty", async () => {
  const { FakeModel } = await import("../demo/fakeModel");
  const empty = Object.fromEntries(
    Object.entries(traits).map(([name, value]) => [
      name,
      Array.isArray(value) ? [] : typeof value === "object" && !(value instanceof ArrayBuffer) ? {} : value,
    ]),
  );
  const { el } = await show({}, undefined, new FakeModel(empty));
  expect(find(el, ".sw-picture.sw-dense canvas").getAttribute("aria-label")).toBe(
    "No picture of the dense model yet",
  );
  expect(find(el, ".sw-facts").textContent).toBe("No trace of this sample yet.");
});

test("predictions stand side by side, and what is not known is a dash", async () => {
  const { el } = await show();
  const rows = [...el.querySelectorAll(".sw-predictions tbody tr:first-child")].map((row) =>
    [...row.querySelectorAll("th, td.sw-number")].map((cell) => cell.textContent),
  );
  expect(rows).toEqual([
    ["ball", "99.3", "4.1"],
    ["sea <i>", "0.4", "–"],
  ]);
  const widths = [...el.querySelectorAll<HTMLElement>(".sw-bars .sw-bar > span")].map(
    (bar) => bar.style.width,
  );
  expect(widths).toEqual(["99.31%", "4.1000000000000005%", "0.4%"]);
});

test("the name of a predicted class shows that class as the neuron", async () => {
  const panel = await show({ neuron: "logit:ball" });
  const names = [...panel.el.querySelectorAll<HTMLElement>(".sw-class")];
  expect(names.map((name) => name.getAttribute("aria-pressed"))).toEqual(["true", "false"]);
  await act(() => names[1]?.click());
  expect(panel.model.state.neuron).toBe("logit:sea");
  expect(names.map((name) => name.getAttribute("aria-pressed"))).toEqual(["false", "true"]);
});

test("what belongs to another sample is marked as such", async () => {
  const panel = await show();
  const busy = () => find(panel.el, ".sw-predictions").getAttribute("aria-busy");
  expect(busy()).toBe("false");
  await panel.receive("sample_id", "c");
  expect(busy()).toBe("true");
  expect(find(panel.el, ".sw-channel-grid").getAttribute("aria-busy")).toBe("true");
});

test("the handle is the front end's while it is held, the kernel's afterwards", async () => {
  vi.useFakeTimers();
  const panel = await show();
  const slider = find(panel.el, ".sw-slider");
  const now = () => Number(slider.getAttribute("aria-valuenow"));
  expect(now()).toBe(0.9);
  await press(slider, "ArrowRight");
  await press(slider, "ArrowRight");
  expect(now()).toBe(0.91);
  await panel.receive("sparsity", 0.905);
  expect(now()).toBe(0.91);
  await act(() => {
    slider.dispatchEvent(new KeyboardEvent("keyup", { key: "ArrowRight", bubbles: true }));
  });
  expect(panel.model.state.sparsity).toBe(0.91);
  // A late echo, right after release, does not move it either.
  await panel.receive("sparsity", 0.905);
  expect(now()).toBe(0.91);
  await act(() => {
    vi.advanceTimersByTime(1000);
  });
  expect(now()).toBe(0.905);
  await panel.receive("sparsity", 0.5);
  expect(now()).toBe(0.5);
});

test("a dragged handle sets at most every 40 ms, and finally on release", async () => {
  vi.useFakeTimers();
  const panel = await show();
  const slider = find(panel.el, ".sw-slider");
  slider.setPointerCapture = () => {};
  find(slider, ".sw-track").getBoundingClientRect = () =>
    ({ left: 0, width: 1000, top: 0, height: 5 }) as DOMRect;
  const drag = (kind: string, x: number) =>
    act(() => {
      slider.dispatchEvent(new PointerEvent(kind, { clientX: x, pointerId: 1, button: 0, bubbles: true }));
    });
  await drag("pointerdown", 0);
  for (let x = 0; x <= 500; x += 10) {
    await drag("pointermove", x);
    await act(() => {
      vi.advanceTimersByTime(5);
    });
  }
  const saved = panel.model.saved.length;
  expect(saved).toBeGreaterThan(2);
  expect(saved).toBeLessThanOrEqual(2 + (51 * 5) / 40);
  await drag("pointermove", 503);
  await drag("lostpointercapture", 503);
  expect(panel.model.state.sparsity).toBe(0.75);
  expect(slider.getAttribute("aria-valuetext")).toBe("75.0 percent of the weights removed");
});

test("a typed sparsity is set; what is none is answered in one sentence", async () => {
  const panel = await show();
  const field = find<HTMLInputElement>(panel.el, ".sw-big input");
  await type(field, "95");
  expect(panel.model.state.sparsity).toBe(0.95);
  await type(field, "100");
  expect(panel.model.state.sparsity).toBe(0.95);
  expect(find(panel.el, ".sw-sparsity .sw-message").textContent).toBe(
    "“100” is no sparsity: give percents from 0 to 99.",
  );
});

test("the channel field goes to a channel, or says which there are", async () => {
  const panel = await show();
  const field = find<HTMLInputElement>(panel.el, ".sw-channel-field input");
  await type(field, "16");
  expect(panel.model.state.neuron).toBe("logit:ball");
  expect(find(panel.el, ".sw-neuron .sw-message").textContent).toBe(
    "stem has no channel 16: its channels are 0 to 15.",
  );
  expect(field.getAttribute("aria-invalid")).toBe("true");
  await type(field, "7");
  expect(panel.model.state.neuron).toBe("stem:7");
  expect(find(panel.el, ".sw-neuron .sw-message").hidden).toBe(true);
  expect(find(panel.el, ".sw-channel-grid [aria-checked=true]").textContent).toBe("7");
});

test("the tiles are one stop for Tab, and arrows choose", async () => {
  const panel = await show();
  const tiles = [...panel.el.querySelectorAll<HTMLElement>(".sw-sample-grid .sw-tile")];
  expect(tiles.map((tile) => tile.tabIndex)).toEqual([0, -1, -1]);
  await press(tiles[0] as HTMLElement, "ArrowRight");
  expect(panel.model.state.sample_id).toBe("b");
  expect(tiles.map((tile) => tile.getAttribute("aria-checked"))).toEqual(["false", "true", "false"]);
  expect(tiles.map((tile) => tile.tabIndex)).toEqual([-1, 0, -1]);
  expect(document.activeElement).toBe(tiles[1]);
});

test("every frame is acknowledged once: drawn, or no picture at all", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const panel = await show({
    dense: { ...traits.dense, neuron: "logit:ball", state: "rendering", steps: 9 },
  });
  await panel.frame("dense", 4, png(40));
  await panel.frame("dense", 5, new DataView(new ArrayBuffer(4)));
  await panel.frame("sparse", 1, png(41));
  expect(panel.drawn).toEqual([40, 41]);
  expect(panel.sent("ack")).toEqual([
    { type: "ack", which: "dense", seq: 4 },
    { type: "ack", which: "dense", seq: 5 },
    { type: "ack", which: "sparse", seq: 1 },
  ]);
});

test("a picture of an earlier selection says so until the first frame of the new one", async () => {
  const picture = {
    ...traits.dense,
    neuron: "logit:ball",
    state: "done",
    step: 9,
    steps: 9,
    activation: 3,
  } as const;
  const panel = await show({ dense: picture, dense_png: png(1) });
  const figure = find(panel.el, ".sw-picture.sw-dense");
  const label = () => find(figure, "canvas").getAttribute("aria-label");
  expect(panel.drawn).toEqual([1]);
  expect(figure.dataset.stale).toBe("false");
  expect(label()).toBe("What excites class ball in the dense model: done");
  await panel.receive("dense", { ...picture, neuron: "stem:3", state: "waiting", step: 0 });
  expect(figure.dataset.stale).toBe("true");
  await panel.receive("dense", { ...picture, neuron: "stem:3", state: "rendering", step: 1 });
  expect(figure.dataset.stale).toBe("true");
  await panel.frame("dense", 1, png(2));
  expect(figure.dataset.stale).toBe("false");
  expect(label()).toBe("What excites stem, channel 3 in the dense model: rendering, step 1 of 9");
});

test("a neuron that nothing excites is said to be dead", async () => {
  const done = {
    ...traits.dense,
    neuron: "stem:3",
    state: "done",
    step: 9,
    steps: 9,
    activation: 0,
  } as const;
  const panel = await show({ dense: { ...done, dead: true }, sparse: done });
  expect(find(panel.el, ".sw-dense .sw-caption-numbers").textContent).toContain("dead: nothing excites it");
  expect(find(panel.el, ".sw-sparse .sw-caption-numbers").textContent).toContain("activation 0.00");
});

test("a morph says where it comes from, until the picture itself is on screen", async () => {
  const morph = { source: "90.0 %", step: 12, augmentations: 256 };
  const rendering = { ...traits.sparse, neuron: "stem:3", state: "rendering", step: 3, steps: 9 } as const;
  const panel = await show({ sparse: { ...rendering, morph } });
  const caption = () => find(panel.el, ".sw-sparse .sw-caption-numbers").textContent;
  expect(caption()).toContain("morphing from 90.0 % · step 12");
  await panel.receive("sparse", { ...rendering, morph: { ...morph, source: "" } });
  expect(caption()).toContain("first look · step 12");
  await panel.receive("sparse", { ...rendering, morph: null });
  expect(caption()).toContain("step 3 of 9");
});

test("stop, resume and dismiss are said", async () => {
  const panel = await show({
    status: { state: "working", text: "rendering", done: 1, of: 9, seconds: 0.2 },
    error: "no",
  });
  const button = find(panel.el, ".sw-stop");
  await act(() => button.click());
  expect(panel.sent("stop")).toHaveLength(1);
  await panel.receive("status", { state: "stopped", text: "", done: null, of: null, seconds: 0.2 });
  expect(button.textContent).toBe("Resume");
  await act(() => button.click());
  expect(panel.sent("resume")).toHaveLength(1);
  await act(() => find(panel.el, "[aria-label=Dismiss]").click());
  expect(panel.sent("dismiss")).toHaveLength(1);
});

test("dropped files go to the kernel as they are; what is too large for a message is refused here", async () => {
  const panel = await show();
  const large = new File([new Uint8Array(1)], "large.tif");
  Object.defineProperty(large, "size", { value: 20e6 });
  const drop = new Event("drop", { bubbles: true, cancelable: true });
  Object.assign(drop, {
    dataTransfer: { types: ["Files"], files: [new File([new Uint8Array([1, 2])], "a.png"), large] },
  });
  await act(() => {
    find(panel.el, ".sw-panel").dispatchEvent(drop);
  });
  await settle();
  expect(drop.defaultPrevented).toBe(true);
  expect(panel.sent("add")).toEqual([{ type: "add", files: [{ name: "a.png" }] }]);
  const { buffers } = panel.model.sent.find(({ message }) => message.type === "add") ?? { buffers: [] };
  expect([...(buffers[0] as Uint8Array)]).toEqual([1, 2]);
  expect(find(panel.el, ".sw-error").textContent).toContain("large.tif has 20.0 MB");
});

test("Stop and Resume are for the maps in the middle too", async () => {
  const panel = await show({ centre: "saliency", maps_state: "working" });
  const button = find<HTMLButtonElement>(panel.el, ".sw-stop");
  expect([button.textContent, button.disabled]).toEqual(["Stop", false]);
  await panel.receive("maps_state", "stopped");
  expect([button.textContent, button.disabled]).toEqual(["Resume", false]);
  await panel.receive("maps_state", "idle");
  expect([button.textContent, button.disabled]).toEqual(["Stop", true]);
});

test("a kernel that is gone is said, and nothing is asked of it", async () => {
  const panel = await show({ status: { state: "working", text: "rendering", done: 1, of: 9, seconds: 1 } });
  await act(() => panel.model.emit("comm:close"));
  expect(find(panel.el, ".sw-error").textContent).toMatch(/^The kernel is gone: run the cell again\./);
  expect(find<HTMLButtonElement>(panel.el, ".sw-stop").disabled).toBe(true);
  for (const name of [
    ".sw-samples",
    ".sw-slider",
    ".sw-plan",
    ".sw-neuron",
    "[aria-label='What the centre shows']",
  ])
    expect(find(panel.el, name).closest("[inert]"), name).not.toBeNull();
  expect(find(panel.el, ".sw-pictures").closest("[inert]")).toBeNull(); // looking goes on
  expect(panel.el.querySelector(".sw-predictions button")).toBeNull();
  expect(find(panel.el, ".sw-predictions").textContent).toContain("ball");
});

test("a saved panel says at once that it has no kernel; one with a kernel is all there", async () => {
  const saved = new FakeModel({ ...traits, layout: { comm_live: false } });
  const { el } = await show({}, undefined, saved);
  expect(find(el, ".sw-error").textContent).toMatch(/^This is a saved picture of the panel/);
  expect(find(el, ".sw-chip").textContent).toContain("saved picture");
  expect(find(el, ".sw-slider").closest("[inert]")).not.toBeNull();
  const live = await show({}, undefined, new FakeModel({ ...traits, layout: { comm_live: true } }));
  expect(live.el.querySelector(".sw-error")).toBeNull();
  expect(find(live.el, ".sw-slider").closest("[inert]")).toBeNull();
});

test("the code is copied the old way where the new one is refused", async () => {
  const panel = await show({ code: "sw.Explorer()" });
  vi.spyOn(console, "debug").mockImplementation(() => {});
  let copied = "";
  Object.assign(document, {
    execCommand: () => {
      copied = find<HTMLTextAreaElement>(panel.el, "textarea").value;
      return true;
    },
  });
  vi.stubGlobal("navigator", { clipboard: { writeText: () => Promise.reject(new Error("refused")) } });
  await act(() => find(panel.el, ".sw-copy").click());
  await settle();
  expect(copied).toBe("sw.Explorer()");
  expect(panel.el.querySelector("textarea")).toBeNull();
  expect(find(panel.el, "[aria-live=polite]").textContent).toBe(
    "The code that reproduces the screen is copied.",
  );
});

test("the chart is asked for when its section is opened, and kept when it is folded away", async () => {
  const render = vi.fn(async ({ el }: { el: HTMLElement; signal?: AbortSignal }) => {
    el.textContent = "a chart";
  });
  const panel = await show({}, { getWidget: async () => ({ render }) });
  expect(panel.sent("chart")).toEqual([]);
  const details = find<HTMLDetailsElement>(panel.el, "details");
  await act(() => {
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
  });
  expect(panel.sent("chart")).toHaveLength(1);
  await panel.receive("chart", "anywidget:1234");
  expect(find(panel.el, ".sw-chart").textContent).toBe("a chart");
  const { el, signal } = render.mock.calls[0]?.[0] ?? {};
  await act(() => {
    details.open = false;
    details.dispatchEvent(new Event("toggle"));
  });
  expect(el?.isConnected).toBe(true);
  expect(render).toHaveBeenCalledTimes(1);
  await panel.unmount();
  expect(el?.isConnected).toBe(false);
  // Plotly's figure fails on every later change of its model once a view of it has ended.
  expect(signal?.aborted).toBe(false);
});

test("where the chart can't be had, its table is there", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const layers = [{ name: "fc", kept: 100, total: 1000, error: 0.25 }];
  const trace = {
    sample_id: "a",
    ...{ sparsity: 0.9, kept: 100, total: 1000, agrees: false, dense_class: "ball", sparse_class: "sea" },
  };
  const panel = await show(
    {
      chart: "anywidget:1",
      trace_summary: { ...trace, kl: 3.1, seconds: 1, augmentations: 256, dense_layers: 0, layers },
    },
    { getWidget: () => Promise.reject(new Error("no binding")) },
  );
  expect(find(panel.el, ".sw-disagrees").textContent).toBe("✗ the trace predicts sea");
  const details = find<HTMLDetailsElement>(panel.el, "details");
  await act(() => {
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
  });
  await settle();
  expect(find(panel.el, ".sw-layers tbody tr").textContent).toBe("fc10.0100 of 1\u202f0000.250");
});

test("the centre shows pictures, maps or both; the panel of maps is rendered once, and ended with the view", async () => {
  const render = vi.fn(async ({ el }: { el: HTMLElement; signal?: AbortSignal }) => {
    el.textContent = "maps";
  });
  const panel = await show({}, { getWidget: async () => ({ render }) });
  const choices = [...panel.el.querySelectorAll<HTMLElement>("[aria-label='What the centre shows'] button")];
  const parts = () =>
    [...panel.el.querySelectorAll<HTMLElement>(".sw-centre-part")].map((part) => part.hidden);
  expect(choices.map((choice) => choice.textContent)).toEqual(["Visualization", "Saliency", "Both"]);
  expect(parts()).toEqual([false, true]);
  await act(() => choices[1]?.click());
  expect(panel.model.state.centre).toBe("saliency");
  expect(parts()).toEqual([true, false]);
  await panel.receive("saliency_panel", "anywidget:7");
  expect(find(panel.el, ".sw-centre-part:not([hidden])").textContent).toBe("maps");
  await act(() => choices[2]?.click());
  expect(parts()).toEqual([false, false]);
  await act(() => choices[0]?.click());
  expect(parts()).toEqual([false, true]);
  expect(render).toHaveBeenCalledTimes(1);
  await panel.unmount();
  expect(render.mock.calls[0]?.[0].signal?.aborted).toBe(true);
});

test("a view that leaves takes every listener with it, and its neighbour stays", async () => {
  const documentOn = vi.spyOn(document, "addEventListener");
  const documentOff = vi.spyOn(document, "removeEventListener");
  const first = await show();
  const alone = first.model.listening;
  const second = await show({}, undefined, first.model);
  expect(first.model.listening).toBe(2 * alone);
  expect(first.el.querySelectorAll(".sw-panel")).toHaveLength(1);
  const views = new Set(first.sent("visible").map((message) => message.view));
  expect(views.size).toBe(2);

  await second.unmount();
  expect(first.model.listening).toBe(alone);
  expect(second.el.childNodes).toHaveLength(0);
  await first.receive("error", "still there");
  expect(find(first.el, ".sw-error").textContent).toBe("still there");

  await first.unmount();
  expect(first.model.listening).toBe(0);
  expect(first.sent("visible").at(-1)).toMatchObject({ visible: false });
  for (const [name, callback] of documentOn.mock.calls)
    expect(documentOff.mock.calls.some((call) => call[0] === name && call[1] === callback)).toBe(true);
});

test("a view says whether it is seen, again when it is asked, and that it goes with the page", async () => {
  const panel = await show();
  const said = () => panel.sent("visible").map((message) => message.visible);
  expect(said()).toEqual([true]);
  Screen.show(true);
  expect(said()).toEqual([true]);
  panel.model.emit("msg:custom", { type: "look" }, []);
  expect(said()).toEqual([true, true]);
  Screen.show(false);
  expect(said()).toEqual([true, true, false]);
  panel.model.emit("msg:custom", { type: "look" }, []); // who is not seen has said so
  expect(said()).toHaveLength(3);
  Screen.show(true);
  window.dispatchEvent(new Event("pagehide"));
  expect(said().slice(3)).toEqual([true, false]);
  window.dispatchEvent(new Event("pageshow"));
  expect(said().slice(5)).toEqual([true]);
  await panel.unmount();
  expect(said().slice(6)).toEqual([false]);
  window.dispatchEvent(new Event("pageshow"));
  expect(said()).toHaveLength(7);
});

test("keys stay in the panel, and the Lab's shortcuts are off in it", async () => {
  const { el } = await show();
  const outside = vi.fn();
  el.addEventListener("keydown", outside);
  await press(find(el, ".sw-slider"), "a");
  expect(outside).not.toHaveBeenCalled();
  expect(find(el, ".sw-root").dataset.lmSuppressShortcuts).toBe("true");
});

test("how pictures are made is chosen beside the centre, and said on the button", async () => {
  const panel = await show();
  const button = () => find(panel.el, "button[title='How the pictures are made']");
  expect(button().textContent).toBe("Fourier");
  await act(() => button().click());
  const choose = (group: string, name: string) =>
    act(() =>
      [...panel.el.querySelectorAll<HTMLElement>(`[aria-label='${group}'] button`)]
        .find((choice) => choice.textContent === name)
        ?.click(),
    );
  await choose("Image", "MACO");
  await choose("Pictures of the neuron", "4");
  expect([panel.model.state.image, panel.model.state.count]).toEqual(["maco", 4]);
  expect(button().textContent).toBe("MACO × 4");
  const said = find(panel.el, ".sw-picture-options");
  expect(said.textContent).toContain("4 times as long");
  expect(said.textContent).not.toContain("one sample");
  await panel.receive("samples", traits.samples.slice(0, 1));
  expect(said.textContent).toContain("one sample");
  await panel.receive("centre", "saliency");
  expect(panel.el.querySelector("button[title='How the pictures are made']")).toBeNull();
});
