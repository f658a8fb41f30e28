// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import type { ExampleInfo } from "../../../src/common/examples/wire";
import { describeIndex, inOrder } from "../../../src/panels/explorer/Strip";
import { show, trace } from "../../explorer.setup";
import { find, png, press, settle } from "../../page.setup";

const example = (id: string, value: number, mark: number): ExampleInfo => ({
  id,
  title: `title ${id}`,
  value,
  crop: png(mark),
});
const rows = [example("a", 4, 1), example("x", 2, 2), example("y", 1, 3)];
const shown = {
  strip: true,
  strip_examples: { neuron: "logit:ball", rows },
  exceptional: { neuron: "logit:ball", sample_id: "a", seen: 12, examples: 12, percentile: null },
  strip_kept: {
    neuron: "logit:ball",
    sample_id: "a",
    rows: [
      ["a", 0.5],
      ["x", 0.9],
      ["y", -0.2],
    ] as [string, number][],
  },
  trace_summary: trace,
  photo_index: {
    state: "idle" as const,
    own: false,
    total: 13,
    done: 13,
    left: null,
    left_out: ["'z' is none."],
  },
};

const tiles = (el: HTMLElement) => [...el.querySelectorAll<HTMLElement>(".sw-example")];
const titles = (el: HTMLElement) => tiles(el).map((tile) => tile.getAttribute("aria-label"));
const widths = (el: HTMLElement, which: string) =>
  tiles(el).map((tile) => tile.querySelector<HTMLElement>(`.sw-bar.sw-${which} > span`)?.style.width);

test("each example has its crop, what the dense network answers and what the trace keeps", async () => {
  const panel = await show(shown);
  expect(titles(panel.el)).toEqual([
    "title a · activation 4.00 · the trace keeps 50 %",
    "title x · activation 2.00 · the trace keeps 90 %",
    "title y · activation 1.00 · the trace keeps −20 %",
  ]);
  const marks = tiles(panel.el).map((tile) => {
    const source = tile.querySelector("img")?.getAttribute("src") ?? "";
    return atob(source.split(",")[1] ?? "").charCodeAt(4);
  });
  expect(marks).toEqual([1, 2, 3]);
  expect(widths(panel.el, "dense")).toEqual(["100%", "50%", "25%"]);
  expect(widths(panel.el, "sparse")).toEqual(["50%", "45%", "0%"]);
  const numbers = tiles(panel.el).map((tile) => find(tile, ".sw-example-numbers").textContent);
  expect(numbers).toEqual(["4.050%", "2.090%", "1.0<0%"]);
  expect(tiles(panel.el).map((tile) => tile.getAttribute("aria-pressed"))).toEqual([
    "true",
    "false",
    "false",
  ]);
  await panel.receive("strip_order", "kept");
  expect(titles(panel.el).map((title) => title?.slice(0, 7))).toEqual(["title x", "title a", "title y"]);
});

test("without a trace nothing is said of one; another sample's is not passed off", async () => {
  const panel = await show({
    ...shown,
    trace_summary: {},
    strip_kept: { neuron: "", sample_id: "", rows: [] },
  });
  expect(titles(panel.el)[0]).toBe("title a · activation 4.00");
  expect(panel.el.querySelectorAll(".sw-example .sw-bar.sw-sparse").length).toBe(0);
  await panel.receive("strip_kept", shown.strip_kept);
  await panel.receive("sample_id", "b");
  expect(find(panel.el, ".sw-examples").dataset.stale).toBe("true");
  await panel.receive("neuron", "stem:3");
  expect(find(panel.el, ".sw-examples").getAttribute("aria-busy")).toBe("true");
});

test("arrows move along and choose nothing; a click makes an example the sample", async () => {
  const panel = await show({ ...shown, sample_id: "b" });
  expect(tiles(panel.el).map((tile) => tile.tabIndex)).toEqual([0, -1, -1]);
  await press(tiles(panel.el)[0] as HTMLElement, "ArrowRight");
  expect(document.activeElement).toBe(tiles(panel.el)[1]);
  expect(tiles(panel.el).map((tile) => tile.tabIndex)).toEqual([-1, 0, -1]);
  expect(panel.model.state.sample_id).toBe("b");
  expect(panel.sent("example")).toEqual([]);
  await act(() => tiles(panel.el)[1]?.click());
  expect(panel.sent("example")).toEqual([{ type: "example", id: "x" }]);
  await act(() => tiles(panel.el)[0]?.click()); // is a sample already
  expect(panel.model.state.sample_id).toBe("a");
  expect(panel.sent("example").length).toBe(1);
  await act(() => find(panel.el, ".sw-more-examples").click());
  expect(panel.model.state.strip_count).toBe(18);
});

test("what is left out is named, and how far the photographs are is said", async () => {
  const panel = await show(shown);
  await act(() => find(panel.el, ".sw-left-out").click());
  expect(find(panel.el, ".sw-left-out-list").textContent).toBe("'z' is none.");
  const index = { state: "working" as const, own: false, total: 1200, done: 300, left: 41, left_out: [] };
  expect(describeIndex(index, 0)).toBe("looking at 300 of 1\u202f200, 41\u202fs left");
  expect(describeIndex({ ...index, state: "stopped", left: null }, 0)).toBe("stopped at 300 of 1\u202f200");
  expect(describeIndex({ ...index, state: "idle" }, 1200)).toBe("the best of 1\u202f200 photographs");
  expect(describeIndex({ ...index, own: true, state: "idle" }, 20)).toBe(
    "the best of the panel's 20 samples",
  );
  await panel.receive("photo_index", index);
  expect(find<HTMLButtonElement>(panel.el, ".sw-stop").disabled).toBe(false);
});

test("folded, the strip shows no examples, and unfolds from its heading", async () => {
  const panel = await show({ ...shown, strip: false });
  expect(find(panel.el, ".sw-strip-body").hidden).toBe(true);
  await act(() => find(panel.el, ".sw-fold").click());
  expect(panel.model.state.strip).toBe(true);
});

test("photographs of which nothing is known come last", () => {
  const kept = new Map([["y", 0.3]]);
  expect(inOrder(rows, "kept", kept).map(({ id }) => id)).toEqual(["y", "a", "x"]);
  expect(inOrder(rows, "activation", kept)).toBe(rows);
});

test("how exceptional the sample is, is said of the neuron and the sample that are on screen", async () => {
  const exceptional = { neuron: "logit:ball", sample_id: "a", seen: 312, examples: 64, percentile: 97.2 };
  const panel = await show({ ...shown, exceptional });
  const said = () => find(panel.el, ".sw-exceptional").textContent;
  expect(said()).toBe("This sample excites it more than 97 % of 312 photographs.");
  await panel.receive("exceptional", { ...exceptional, percentile: 99.6 });
  expect(said()).toContain("more than 99.6 % of");
  await panel.receive("exceptional", { ...exceptional, percentile: 100 });
  expect(said()).toContain("more than all 312 photographs");
  await panel.receive("sample_id", "b");
  expect(said()).toBe("\u00a0");
});

test("a file dropped on the strip comes to the photographs, one after the other as the kernel takes them", async () => {
  const panel = await show(shown);
  const files = ["a", "b", "c", "d", "e"].map((name) => new File([new Uint8Array([1])], `${name}.png`));
  const drop = new Event("drop", { bubbles: true, cancelable: true, composed: true });
  Object.assign(drop, { dataTransfer: { types: ["Files"], files } });
  await act(() => {
    find(panel.el, ".sw-strip-head").dispatchEvent(drop);
  });
  for (let turn = 0; turn < 8; turn++) await settle();
  expect(panel.sent("add")).toEqual([]);
  expect(panel.sent("photos").map(({ files }) => (files as { name: string }[])[0]?.name)).toEqual([
    "a.png",
    "b.png",
    "c.png",
  ]);
  await act(() => panel.model.emit("msg:custom", { type: "photos taken", files: 1 }, []));
  for (let turn = 0; turn < 8; turn++) await settle();
  expect(panel.sent("photos").length).toBe(4);
});
