// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { afterEach, expect, test } from "vitest";
import { type Mounted, mount } from "../../explorer.setup";
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
