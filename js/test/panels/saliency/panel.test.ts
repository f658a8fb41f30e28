// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { afterEach, expect, test, vi } from "vitest";
import { toUint8 } from "../../../src/lib/bytes";
import { columnsInLine } from "../../../src/panels/saliency/maps/Grid";
import { stepSpot } from "../../../src/panels/saliency/maps/MapFrame";
import { find, press, settle } from "../../page.setup";
import { cell, floats, type Mounted, mount, traits } from "./panel.setup";

const mounted: Mounted[] = [];
const show = async (...args: Parameters<typeof mount>) => {
  const panel = await mount(...args);
  mounted.push(panel);
  return panel;
};
const texts = (el: HTMLElement, selector: string) =>
  [...el.querySelectorAll(selector)].map((one) => one.textContent);
const click = (target: HTMLElement) => act(() => target.click());

/** A pointer over a frame of 300 × 200 screen pixels. */
async function point(frame: HTMLElement, kind: string, x: number, y: number) {
  frame.getBoundingClientRect = () => ({ left: 0, top: 0, width: 300, height: 200 }) as DOMRect;
  await act(() => {
    frame.dispatchEvent(new PointerEvent(kind, { clientX: x, clientY: y, bubbles: true }));
  });
}

afterEach(async () => {
  for (const panel of mounted.splice(0)) await panel.unmount();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a column a chosen method, in the order chosen, a map a row", async () => {
  const panel = await show();
  expect(texts(panel.el, ".sw-method h3")).toEqual(["Sample", "Gradient", "LRP"]);
  expect(texts(panel.el, ".sw-cell .sw-caption-title")).toEqual(["Dense", "Trace", "Dense", "Trace"]);
  await panel.receive("methods", ["lime", "grad"]);
  expect(texts(panel.el, ".sw-method h3")).toEqual(["Sample", "LIME", "Gradient"]);
});

test("a panel of which Python has said nothing yet stands, empty", async () => {
  const { FakeModel } = await import("../../../demo/fakeModel");
  const { el } = await show({}, undefined, new FakeModel({}));
  expect(texts(el, ".sw-method h3")).toEqual(["Sample"]);
  expect(find(el, ".sw-facts").textContent).toBe("No trace of this sample yet.");
});

test("maps are painted from the bytes, on one scale or each on its own", async () => {
  const panel = await show({ opacity: 1, colormap: "greys", clip: 100 });
  const reds = (label: RegExp) => panel.drawn(label)?.filter((_, index) => index % 4 === 0);
  const dense = /^Map of Gradient in the dense model: done, values from 0 to 5.00$/;
  const [first, , , , , last = 0] = reds(dense) ?? [];
  expect(first).toBe(0);
  expect(last).toBeGreaterThan(100);
  expect(last).toBeLessThan(200);
  expect(reds(/^Map of Gradient in the trace/)?.at(-1)).toBe(255);
  expect(panel.el.querySelectorAll(".sw-method-foot .sw-colorbar")).toHaveLength(2);

  await panel.receive("scale", "own");
  expect(reds(dense)?.at(-1)).toBe(255);
  expect(texts(panel.el, ".sw-dense .sw-colorbar-numbers")[0]).toBe("05.00");
  expect(panel.el.querySelectorAll(".sw-method-foot .sw-colorbar")).toHaveLength(0);
});

test("columns fill lines that are about equally long", () => {
  expect(columnsInLine(4, 1000)).toBe(4);
  expect(columnsInLine(8, 1000)).toBe(4);
  expect(columnsInLine(14, 1000)).toBe(7);
  expect(columnsInLine(7, 600)).toBe(4);
  expect(columnsInLine(3, 50)).toBe(1);
});

test("before a map is there, the cell says how far it is, and keeps its size", async () => {
  const panel = await show({ map_dense_lrp: new ArrayBuffer(0) });
  const lrp = () => find(panel.el, '.sw-method[aria-label="LRP"] .sw-dense');
  expect(find(lrp(), ".sw-cell-note").textContent).toBe("waiting");
  expect(find(lrp(), ".sw-map").style.aspectRatio).toBe("3 / 2");
  const cells = (changes: object) => ({ ...traits.cells, "dense/lrp": cell(changes) });
  await panel.receive("cells", cells({ state: "running", done: 3, of: 12 }));
  expect(find(lrp(), ".sw-cell-note").textContent).toBe("running 25 %");
  expect(find(lrp(), ".sw-progress").dataset.on).toBe("true");
  expect(find(lrp(), ".sw-progress > span").style.width).toBe("25%");
  await panel.receive("cells", cells({ state: "stopped", done: 3, of: 12 }));
  expect(find(lrp(), ".sw-cell-note").textContent).toBe("stopped at 25 %");
  await panel.receive("map_dense_lrp", floats([1, 2, 3, -4, 5, 6]));
  await panel.receive("cells", cells({ seconds: 2 }));
  expect(lrp().querySelector(".sw-cell-note")).toBeNull();
  expect(find(lrp(), "canvas").getAttribute("aria-label")).toBe(
    "Map of LRP in the dense model: done, values from \u22124.00 to 6.00",
  );
});

test("a map of before is dimmed and said to be one; it can't be saved", async () => {
  const panel = await show({ cells: { ...traits.cells, "sparse/grad": cell({ state: "stale" }) } });
  const stale = find(panel.el, ".sw-sparse.sw-cell");
  expect(stale.dataset.stale).toBe("true");
  expect(find(stale, ".sw-badge").textContent).toBe("former");
  expect(find<HTMLButtonElement>(stale, ".sw-icon-button").disabled).toBe(true);
  expect(find(panel.el, ".sw-dense.sw-cell").dataset.stale).toBe("false");
});

test("where a method can't be had, its sentence stands in the cell, as text", async () => {
  const error = "GradCAM needs a <b>convolution</b>.";
  const panel = await show({ cells: { "dense/grad": cell({ state: "error", error }) } });
  expect(find(panel.el, ".sw-cell-error").textContent).toBe(error);
  expect(panel.el.querySelector(".sw-cell-error b")).toBeNull();
  expect(find(panel.el, "canvas[aria-label^='No map of Gradient']")).toBeTruthy();
});

test("maps that are all zero or no numbers are said to be", async () => {
  const panel = await show({
    map_dense_grad: floats([0, 0, 0, 0, 0, 0]),
    map_sparse_grad: floats([Number.NaN, 1, Number.NEGATIVE_INFINITY, 0, 0, 2]),
  });
  expect(texts(panel.el, ".sw-odd")).toEqual(["all zero", "2 values are no numbers"]);
  await panel.receive("map_sparse_grad", floats(Array(6).fill(Number.NaN)));
  expect(texts(panel.el, ".sw-odd")).toEqual(["all zero", "no value is a number"]);
});

test("the metrics stand under the map; where a mask is known their line does from the start", async () => {
  const metrics = { trojan_auc: 0.987, pointing_game: 1, insertion: null, deletion: null };
  const panel = await show({ cells: { "dense/grad": cell({ metrics }) } });
  const lines = () => texts(panel.el, ".sw-metrics");
  expect(lines()).toEqual(["AUC 98.7✓ hit", "\u00a0", "\u00a0", "\u00a0"]);
  await panel.receive("cells", {
    "dense/grad": cell({ metrics: { trojan_auc: 0.5, pointing_game: 0, insertion: 0.8125, deletion: 0.1 } }),
  });
  expect(lines().slice(0, 2)).toEqual(["AUC 50.0✗ miss", "ins 0.813del 0.100"]);
  await panel.receive("image", { ...traits.image, mask: new ArrayBuffer(0) });
  expect(lines()[0]).toBe("ins 0.813del 0.100");
});

test("the crosshair is at one pixel in all maps, and each says its value there", async () => {
  const panel = await show();
  const readouts = () => texts(panel.el, ".sw-readout");
  expect(readouts().slice(0, 2)).toEqual(["0 to 5.00", "0 to 10.0"]);
  await point(panel.frame("Gradient, dense"), "pointermove", 299, 150);
  expect(readouts()).toEqual(["1, 25.00", "1, 210.0", "1, 2–", "1, 2–"]);
  // Two rows of two methods, and the sample itself.
  const hairs = [...panel.el.querySelectorAll<HTMLElement>(".sw-hair-x")];
  expect(hairs).toHaveLength(5);
  expect(new Set(hairs.map((hair) => hair.style.left)).size).toBe(1);
  expect(find(panel.el, ".sw-hint").textContent).toContain("row 1, column 2");
  expect(find(panel.el, ".sw-hint").textContent).toContain("0 · 200 · 0");
  expect(panel.model.sent.filter(({ message }) => message.type !== "visible")).toEqual([]);
  await point(panel.frame("Gradient, dense"), "pointerleave", 0, 0);
  expect(panel.el.querySelector(".sw-crosshair")).toBeNull();
});

test("a click pins the crosshair until it is clicked again; another sample takes it away", async () => {
  const panel = await show();
  const frame = panel.frame("Gradient, trace");
  const pinned = () => panel.el.querySelector<HTMLElement>(".sw-crosshair")?.dataset.pinned;
  await point(frame, "pointermove", 150, 50);
  await point(frame, "click", 150, 50);
  expect(pinned()).toBe("true");
  await point(frame, "pointermove", 10, 10);
  await point(frame, "pointerleave", 0, 0);
  expect(find(panel.el, ".sw-readout").textContent).toBe("0, 11.00");
  await point(frame, "click", 10, 150);
  expect(find(panel.el, ".sw-readout").textContent).toBe("1, 03.00");
  await point(frame, "click", 10, 150);
  expect(pinned()).toBe("false");
  await point(frame, "click", 10, 150);
  await panel.receive("sample_id", "b");
  expect(pinned()).toBeUndefined();
});

test("arrows move the crosshair and stay inside, Escape takes it away", async () => {
  const panel = await show();
  const frame = panel.frame("Gradient, dense");
  expect(frame.tabIndex).toBe(0);
  const at = () => find(panel.el, ".sw-readout").textContent;
  await press(frame, "ArrowRight");
  expect(at()).toBe("1, 14.00");
  await press(frame, "ArrowRight");
  await press(frame, "ArrowRight");
  await press(frame, "ArrowUp");
  await press(frame, "ArrowUp");
  expect(at()).toBe("0, 22.00");
  expect(find(panel.el, "[aria-live=polite]").textContent).toBe("row 0, column 2: Gradient 2.00");
  await press(frame, "Escape");
  expect(panel.el.querySelector(".sw-crosshair")).toBeNull();
  expect(stepSpot({ row: 50, column: 50 }, "ArrowLeft", true, 100, 200)).toEqual({ row: 50, column: 30 });
  expect(stepSpot({ row: 0, column: 0 }, "a", false, 9, 9)).toBeNull();
});

test("the picker adds and takes away methods, in order; the last one stays", async () => {
  const panel = await show();
  const button = find(panel.el, "[aria-label^='Methods']");
  expect(panel.el.querySelector(".sw-methods")).toBeNull();
  await click(button);
  const boxes = () => [...panel.el.querySelectorAll<HTMLInputElement>(".sw-methods input")];
  expect(texts(panel.el, ".sw-methods label")).toEqual([
    "GradientWhat Gradient is.",
    "LRPWhat LRP is.",
    "LIMEslowWhat LIME is.",
  ]);
  expect(boxes().map((box) => box.checked)).toEqual([true, true, false]);
  await click(boxes()[2] as HTMLElement);
  expect(panel.model.state.methods).toEqual(["grad", "lrp", "lime"]);
  await click(boxes()[0] as HTMLElement);
  await click(boxes()[1] as HTMLElement);
  expect(panel.model.state.methods).toEqual(["lime"]);
  await click(boxes()[2] as HTMLElement);
  expect(panel.model.state.methods).toEqual(["lime"]);
  expect(boxes()[2]?.checked).toBe(true);

  boxes()[0]?.focus();
  await press(boxes()[0] as HTMLElement, "ArrowUp");
  expect(document.activeElement).toBe(boxes()[2]);
  await press(boxes()[2] as HTMLElement, "Escape");
  expect(panel.el.querySelector(".sw-methods")).toBeNull();
  expect(document.activeElement).toBe(button);
});

test("a click outside closes what a button has opened", async () => {
  const panel = await show();
  await click(find(panel.el, "[aria-label^='Colour map']"));
  expect(texts(panel.el, ".sw-colormaps [aria-checked=true]")[0]).toContain("Automatic");
  await act(() => {
    find(panel.el, "h2").dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
  });
  expect(panel.el.querySelector(".sw-colormaps")).toBeNull();
});

test("another colour map paints the maps anew", async () => {
  const panel = await show({ opacity: 1 });
  const before = panel.drawn(/^Map of Gradient in the dense/);
  await click(find(panel.el, "[aria-label^='Colour map']"));
  await click(find(panel.el, "[aria-label^='Viridis']"));
  expect(panel.model.state.colormap).toBe("viridis");
  expect(panel.drawn(/^Map of Gradient in the dense/)).not.toEqual(before);
});

test("a dragged opacity shows at once, is said when it is let go, and no echo moves it", async () => {
  vi.useFakeTimers();
  const panel = await show();
  const slider = find<HTMLInputElement>(panel.el, ".sw-look input");
  const before = panel.drawn(/^Map of Gradient in the dense/);
  const drag = (value: string) =>
    act(() => {
      slider.value = value;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    });
  for (const value of ["0.6", "0.4", "0.2"]) await drag(value);
  expect(panel.drawn(/^Map of Gradient in the dense/)).not.toEqual(before);
  expect(panel.model.saved).toEqual([]);
  await act(() => {
    slider.dispatchEvent(new Event("change", { bubbles: true }));
  });
  expect(panel.model.saved).toEqual([{ opacity: 0.2 }]);
  await panel.receive("opacity", 0.4);
  expect(slider.value).toBe("0.2");
  await act(() => {
    vi.advanceTimersByTime(1000);
  });
  expect(slider.value).toBe("0.4");
});

test("a class is chosen by its row or by name; the predicted one comes back", async () => {
  const panel = await show();
  const rows = () => [...panel.el.querySelectorAll<HTMLElement>(".sw-class")];
  const pressed = () => rows().map((row) => row.getAttribute("aria-pressed"));
  const reset = () =>
    [...panel.el.querySelectorAll<HTMLButtonElement>(".sw-class-line button")].find(
      (one) => one.textContent === "Predicted class",
    ) as HTMLButtonElement;
  expect(pressed()).toEqual(["true", "false"]);
  expect(reset().disabled).toBe(true);
  await click(rows()[1] as HTMLElement);
  expect(panel.model.state.target).toBe(2);
  expect(pressed()).toEqual(["false", "true"]);
  const select = find<HTMLSelectElement>(panel.el, ".sw-class-line select");
  expect(select.value).toBe("2");
  expect([...select.options].map((option) => option.textContent)).toEqual(["ball", "sea <i>", "dog"]);
  await act(() => {
    select.value = "1";
    select.dispatchEvent(new Event("change", { bubbles: true }));
  });
  expect(panel.model.state.target).toBe(1);
  expect(pressed()).toEqual(["false", "false"]);
  await click(reset());
  expect(panel.model.state.target).toBe(-1);
});

test("the outline is drawn over maps while it is wanted and a mask is known", async () => {
  const panel = await show();
  // Over both maps of the gradient and over the sample; LRP has no maps yet.
  expect(panel.el.querySelectorAll(".sw-outline")).toHaveLength(3);
  const toggle = [...panel.el.querySelectorAll<HTMLElement>(".sw-toggle")].find(
    (one) => one.textContent === "Outline",
  ) as HTMLElement;
  await click(toggle);
  expect(panel.model.state.outline).toBe(false);
  expect(panel.el.querySelectorAll(".sw-outline")).toHaveLength(0);
  await panel.receive("outline", true);
  await panel.receive("sample_id", "b");
  expect(panel.el.querySelectorAll(".sw-outline")).toHaveLength(0);
});

test("a map is saved as .npy without the kernel; all of them come from Python, to the view that asked", async () => {
  const saved: [string, Blob][] = [];
  const blobs: Blob[] = [];
  vi.spyOn(URL, "createObjectURL").mockImplementation((blob) => {
    blobs.push(blob as Blob);
    return "blob:x";
  });
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (this: HTMLAnchorElement) {
    saved.push([this.download, blobs.at(-1) as Blob]);
  });
  const panel = await show();
  const other = await show({}, undefined, panel.model);
  await click(find(panel.el, "[aria-label='Save Gradient of the trace as NumPy (.npy)']"));
  expect(saved[0]?.[0]).toBe("basketball_sparse_grad.npy");
  const bytes = new Uint8Array((await saved[0]?.[1].arrayBuffer()) as ArrayBuffer);
  expect([...bytes.slice(-24)]).toEqual([...toUint8(traits.map_sparse_grad)]);

  await click(find(panel.el, "[aria-label='Export the maps']"));
  await click(find(panel.el, ".sw-menu button:last-child"));
  expect(panel.sent("export")).toHaveLength(1);
  await act(() => panel.model.emit("msg:custom", { type: "file", name: "maps.npz" }, [floats([1])]));
  expect(saved.map(([name]) => name)).toEqual(["basketball_sparse_grad.npy", "maps.npz"]);
  expect(saved[1]?.[1].size).toBe(4);
  expect(other.el.isConnected).toBe(true);
});

test("the curves are asked for when they are first looked at, and again when they are old", async () => {
  const render = vi.fn(async ({ el }: { el: HTMLElement; signal?: AbortSignal }) => {
    el.textContent = "curves";
  });
  const panel = await show({}, { getWidget: async () => ({ render }) });
  const part = find(panel.el, ".sw-curves");
  expect(part.hidden).toBe(true);
  const toggle = find(panel.el, ".sw-toolbar-end .sw-toggle");
  await click(toggle);
  await settle();
  expect(part.hidden).toBe(false);
  expect(panel.sent("curves")).toHaveLength(1);
  await panel.receive("curves", "anywidget:1");
  expect(find(part, ".sw-chart").textContent).toBe("curves");
  const update = find<HTMLButtonElement>(part, "button");
  expect(update.disabled).toBe(true);
  await panel.receive("curves_stale", true);
  expect(find(part, ".sw-curves-note").textContent).toBe("Maps on screen are newer than these curves.");
  await click(update);
  expect(panel.sent("curves")).toHaveLength(2);
  await click(toggle);
  await click(toggle);
  expect(render).toHaveBeenCalledTimes(1);
  await panel.unmount();
  // Plotly's figure fails on every later change of its model once a view of it has ended.
  expect(render.mock.calls[0]?.[0].signal?.aborted).toBe(false);
});

test("inside the Explorer only the maps and what belongs to them are drawn", async () => {
  const panel = await show({ embedded: true });
  expect(
    panel.el.querySelector("h2, .sw-samples, .sw-predictions, .sw-sparsity, .sw-plan, .sw-facts"),
  ).toBeNull();
  expect(panel.el.querySelectorAll(".sw-cell canvas")).toHaveLength(5);
  for (const part of [".sw-toolbar", ".sw-class-line", ".sw-chip", ".sw-stop"]) find(panel.el, part);
});

test("stop and resume are said", async () => {
  const working = { state: "working", text: "maps", done: 1, of: 4, seconds: 0.2 } as const;
  const panel = await show({ status: working });
  await click(find(panel.el, ".sw-stop"));
  expect(panel.sent("stop")).toHaveLength(1);
  await panel.receive("status", { ...working, state: "idle" });
  await panel.receive("cells", { "dense/grad": cell({ state: "stopped" }) });
  expect(find(panel.el, ".sw-stop").textContent).toBe("Resume");
  await click(find(panel.el, ".sw-stop"));
  expect(panel.sent("resume")).toHaveLength(1);
});

test("a view that leaves takes every listener with it", async () => {
  const first = await show();
  const alone = first.model.listening;
  const second = await show({}, undefined, first.model);
  expect(first.model.listening).toBe(2 * alone);
  await second.unmount();
  expect(first.model.listening).toBe(alone);
  await first.unmount();
  expect(first.model.listening).toBe(0);
  expect(first.sent("visible").at(-1)).toMatchObject({ visible: false });
});
