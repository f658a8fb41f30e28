// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { afterEach, expect, test, vi } from "vitest";
import { type Mounted, mount, trace, traits } from "../../explorer.setup";
import { find, press, settle, type } from "../../page.setup";

let panel: Mounted;

afterEach(() => panel.unmount());

async function choose(key: string): Promise<void> {
  const presets = find<HTMLSelectElement>(panel.el, ".sw-plan select");
  await act(() => {
    presets.value = key;
    presets.dispatchEvent(new Event("change", { bubbles: true }));
  });
  await settle();
}

const presets = () => find<HTMLSelectElement>(panel.el, ".sw-plan select").value;
const field = () => find<HTMLInputElement>(panel.el, ".sw-pattern");

test("by pattern asks for the pattern first, then sets both", async () => {
  panel = await mount();
  await choose("pattern");
  expect(presets()).toBe("pattern");
  expect(document.activeElement).toBe(field());
  expect([panel.model.get("preset"), panel.model.get("pattern")]).toEqual(["last", ""]);
  await type(field(), " layer1.* ");
  expect([panel.model.get("preset"), panel.model.get("pattern")]).toEqual(["pattern", "layer1.*"]);
});

test("a pattern that Python refuses can be mended", async () => {
  panel = await mount();
  await choose("pattern");
  await type(field(), "nolayer");
  await panel.receive("preset", "last"); // put back: the pattern matches nothing
  expect([presets(), field().value]).toEqual(["pattern", "nolayer"]);
  await type(field(), "stem");
  expect([panel.model.get("preset"), panel.model.get("pattern")]).toEqual(["pattern", "stem"]);
  await panel.receive("code", "taken");
  await panel.receive("preset", "last"); // from Python
  expect(presets()).toBe("last");
});

test("a field that is left empty is as if it had not been asked for", async () => {
  panel = await mount();
  await choose("pattern");
  await press(field(), "Enter");
  expect(presets()).toBe("last");
  expect(panel.el.querySelector(".sw-pattern")).toBeNull();
});

test("another preset is set at once", async () => {
  panel = await mount({ preset: "pattern", pattern: "stem" });
  await choose("last");
  expect(panel.model.get("preset")).toBe("last");
  expect(panel.el.querySelector(".sw-pattern")).toBeNull();
});

const picker = () => find<HTMLInputElement>(panel.el, ".sw-plan input[type=file]");

async function choosePlan(name: string, text: string): Promise<void> {
  await act(() => {
    Object.defineProperty(picker(), "files", { configurable: true, value: [new File([text], name)] });
    picker().dispatchEvent(new Event("change", { bubbles: true }));
  });
  await settle();
}

test("without a plan, its preset opens a file dialog, and nothing else changes", async () => {
  panel = await mount();
  const opened = vi.spyOn(picker(), "click").mockImplementation(() => {});
  await choose("plan");
  expect(opened).toHaveBeenCalledOnce();
  expect([presets(), panel.model.get("preset")]).toEqual(["last", "last"]);
  await choosePlan("tuned.json", '{"stem": 0.9}');
  expect(panel.sent("add")).toEqual([{ type: "add", files: [{ name: "tuned.json" }] }]);
  // Python reads it.
  await panel.receive("plan", [["stem", 0.9]]);
  await panel.receive("preset", "plan");
  expect(presets()).toBe("plan");
  expect(find(panel.el, ".sw-preset-description").textContent).toContain("stem 90 %");
  await act(() => find(panel.el, ".sw-preset-description button").click());
  expect(opened).toHaveBeenCalledTimes(2);
});

test("with a plan its preset is set at once", async () => {
  panel = await mount({ plan: [["stem", 0.5]] });
  const opened = vi.spyOn(picker(), "click").mockImplementation(() => {});
  await choose("plan");
  expect(panel.model.get("preset")).toBe("plan");
  expect(opened).not.toHaveBeenCalled();
});

test("a solver that takes long says so before it is chosen", async () => {
  panel = await mount();
  const solvers = panel.el.querySelectorAll<HTMLOptionElement>(".sw-plan select")[1];
  const texts = [...(solvers?.querySelectorAll("option") ?? [])].map((option) => option.textContent);
  expect(texts).toEqual(["fast", "refined", "exact: about 4\u202fmin"]);
  await panel.receive("estimates", {});
  expect(solvers?.textContent).toBe("fastrefinedexact");
});

test("block by block is on or off", async () => {
  panel = await mount();
  const toggle = find<HTMLButtonElement>(panel.el, ".sw-plan .sw-toggle");
  expect(toggle.getAttribute("aria-pressed")).toBe("false");
  await act(() => toggle.click());
  expect(panel.model.get("sequential")).toBe(true);
  expect(toggle.getAttribute("aria-pressed")).toBe("true");
  await act(() => toggle.click());
  expect(panel.model.get("sequential")).toBe(false);
});

test("keep the prediction: asked for, looked for, found", async () => {
  panel = await mount({ trace_summary: trace });
  const toggle = find<HTMLButtonElement>(panel.el, ".sw-keep button");
  const said = () => find(panel.el, ".sw-keep span").textContent;
  const busy = () => find(panel.el, ".sw-facts").getAttribute("aria-busy");
  expect(said()).toBe("the sparsest trace that still says ‘ball’");
  await act(() => toggle.click());
  expect(panel.model.get("fidelity")).toBe(0.9);
  await panel.receive("status", { ...traits.status, state: "working" });
  expect(toggle.getAttribute("aria-pressed")).toBe("true");
  expect([said(), busy()]).toEqual(["looking for the sparsest trace that says ‘ball’", "true"]);
  await panel.receive("status", { ...traits.status, state: "stopped" });
  expect(said()).toBe("not done looking for the sparsest trace that says ‘ball’");
  await panel.receive("sparsity", 0.953);
  const found = { ...trace, sparsity: 0.953, fidelity: { asked: 0.9, reached: 0.9375 } };
  await panel.receive("trace_summary", found);
  expect([said(), busy()]).toEqual(["found: says ‘ball’, agrees on 94 % of further augmentations", "false"]);
  await panel.receive("sparsity", 0);
  await panel.receive("trace_summary", { ...found, sparsity: 0, kept: 1000 });
  expect(said()).toBe("nothing sparser than the dense network says ‘ball’ often enough");
  await act(() => toggle.click());
  expect(panel.model.get("fidelity")).toBeNull();
});

test("a draft of the trace is said to be one, and is no old trace", async () => {
  const draft = { ...trace, draft: "64 of 256 augmentations, fast", augmentations: 64 };
  panel = await mount({ trace_summary: draft, solver: "refined", sequential: true });
  const facts = find(panel.el, ".sw-facts");
  expect(find(facts, ".sw-draft").textContent).toBe("64 of 256 augmentations, fast");
  expect(find(facts, ".sw-draft").title).toContain("fast first, refined block by block under way");
  await panel.receive("trace_summary", { ...trace, draft: "fast" });
  expect(find(facts, ".sw-draft").textContent).toBe("fast first, refined block by block under way");
  expect(facts.getAttribute("aria-busy")).toBe("false");
  await panel.receive("trace_summary", trace); // whole, but of all blocks at once
  expect(facts.getAttribute("aria-busy")).toBe("true");
  await panel.receive("trace_summary", { ...trace, sequential: true });
  expect(facts.getAttribute("aria-busy")).toBe("false");
  expect(facts.textContent).toContain("256 augmentations · 3.3");
});
