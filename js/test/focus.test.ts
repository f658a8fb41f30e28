// @vitest-environment happy-dom
import { expect, test } from "vitest";
import { find, mount } from "./panel.setup";

test("whatever has the focus in a panel keeps the notebook's shortcuts away", async () => {
  const panel = await mount();
  for (const selector of [".sw-slider", ".sw-tile", ".sw-frame", "select"]) {
    const element = find(panel.el, selector);
    expect(element.dataset.lmSuppressShortcuts).toBeUndefined();
    element.dispatchEvent(new FocusEvent("focusin", { bubbles: true }));
    expect(element.dataset.lmSuppressShortcuts).toBe("true");
  }
  await panel.unmount();
});
