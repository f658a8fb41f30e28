// @vitest-environment happy-dom
import { expect, test, vi } from "vitest";
import { mount, show } from "../explorer.setup";
import { find, press, Screen } from "../page.setup";

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
