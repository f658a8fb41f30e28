// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { expect, test, vi } from "vitest";
import { FakeModel } from "../../../demo/fakeModel";
import { show, trace, traits } from "../../explorer.setup";
import { find, settle } from "../../page.setup";

test("titles, labels and class names are text, never markup", async () => {
  const { el } = await show({ error: "<script>x</script> is no layer." });
  expect(el.querySelector("img[src=x], .sw-tile b, script, i")).toBeNull();
  expect(find(el, ".sw-tile:nth-child(2)").textContent).toBe("<b>dog</b>");
  expect(find(el, ".sw-tile:nth-child(2)").title).toBe("<img src=x onerror=alert(1)> · <b>dog</b>");
  expect(find(el, ".sw-error").textContent).toBe("<script>x</script> is no layer.");
});

test("a panel of which Python has said nothing yet stands, empty", async () => {
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

test("what belongs to another sample is marked as such", async () => {
  const panel = await show();
  const busy = () => find(panel.el, ".sw-predictions").getAttribute("aria-busy");
  expect(busy()).toBe("false");
  await panel.receive("sample_id", "c");
  expect(busy()).toBe("true");
  expect(find(panel.el, ".sw-channel-grid").getAttribute("aria-busy")).toBe("true");
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
  const panel = await show(
    {
      chart: "anywidget:1",
      trace_summary: { ...trace, agrees: false, sparse_class: "sea", layers },
    },
    { getWidget: () => Promise.reject(new Error("no binding")) },
  );
  expect(find(panel.el, ".sw-facts .sw-disagrees").textContent).toBe("✗ the trace predicts sea");
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

test("pictures that begin at the sample say so, and how near they stay is chosen", async () => {
  const panel = await show({ count: 4 });
  await act(() => find(panel.el, "button[title='How the pictures are made']").click());
  const choice = (name: string) =>
    [...panel.el.querySelectorAll<HTMLElement>(".sw-picture-options button")].find(
      ({ textContent }) => textContent === name,
    );
  expect(choice("Near")).toBeUndefined();
  expect(panel.el.textContent).not.toContain("by construction");
  await act(() => choice("Sample")?.click());
  expect(panel.model.state.image).toBe("sample");
  expect(find(panel.el, ".sw-pictures").textContent).toContain(
    "Begins at the sample: its own object is in the picture by construction.",
  );
  expect(find(panel.el, "button[title='How the pictures are made']").textContent).toBe("Sample"); // one, not four
  expect(choice("4")).toBeUndefined();
  expect(choice("Middle")?.getAttribute("aria-pressed")).toBe("true");
  await act(() => choice("Near")?.click());
  expect(panel.model.state.near).toBe(0.75);
});

test("the chart of a saved panel says that it needs a kernel, and its table is there", async () => {
  const model = new FakeModel({
    ...traits,
    chart: "anywidget:1",
    trace_summary: { ...trace, layers: [{ name: "fc", kept: 100, total: 1000, error: 0.25 }] },
    layout: { comm_live: false },
  });
  const { el } = await show({}, { getWidget: () => new Promise(() => {}) }, model); // nobody answers
  const details = find<HTMLDetailsElement>(el, "details");
  await act(() => {
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
  });
  expect(details.textContent).toContain("The chart needs a running kernel: this is its table.");
  expect(details.querySelector("table")?.textContent).toContain("fc");
});
