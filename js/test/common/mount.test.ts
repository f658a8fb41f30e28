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

/** A panel in the cell of a notebook, as JupyterLab nests them, and what the notebook and the page hear. */
async function inNotebook() {
  const panel = await show();
  const [activity, notebook] = [document.createElement("div"), document.createElement("div")];
  activity.className = "jp-Activity";
  notebook.className = "jp-Notebook";
  notebook.append(panel.el);
  activity.append(notebook);
  document.body.append(activity);
  const [cells, page] = [vi.fn(), vi.fn()];
  notebook.addEventListener("keydown", cells);
  document.addEventListener("keydown", page);
  const strike = (selector: string, init: KeyboardEventInit) => {
    const event = new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init });
    find(panel.el, selector).dispatchEvent(event);
    return event;
  };
  const end = () => {
    document.removeEventListener("keydown", page);
    document.body.append(panel.el);
    activity.remove();
  };
  return { activity, cells, page, strike, end };
}

test("a shortcut of the page is heard outside of the notebook, whose cells hear nothing", async () => {
  const { activity, cells, page, strike, end } = await inNotebook();
  const combinations = [
    { key: "s", ctrlKey: true },
    { key: "s", metaKey: true },
    { key: "1", altKey: true },
    { key: "C", ctrlKey: true, shiftKey: true },
    { key: "F11" },
  ];
  for (const selector of [".sw-slider", ".sw-big input", ".sw-tile", ".sw-map, .sw-frame"])
    for (const combination of combinations) {
      page.mockClear();
      strike(selector, combination);
      expect(page).toHaveBeenCalledOnce();
      const heard = page.mock.calls[0]?.[0] as KeyboardEvent;
      expect(heard).toMatchObject(combination);
      expect(heard.target).toBe(activity);
    }
  expect(cells).not.toHaveBeenCalled();
  end();
});

test("what types, moves in the panel or runs a cell is not heard outside", async () => {
  const { cells, page, strike, end } = await inNotebook();
  for (const key of ["a", "d", "Enter", "ArrowDown", "Escape", "Home", " "]) {
    strike(".sw-slider", { key });
    strike(".sw-big input", { key, shiftKey: true });
  }
  const typed = new KeyboardEvent("keydown", { key: "@", ctrlKey: true, altKey: true, bubbles: true });
  expect(typed.getModifierState("AltGraph")).toBe(true);
  document.querySelector(".sw-big input")?.dispatchEvent(typed);
  expect(page).not.toHaveBeenCalled();
  expect(cells).not.toHaveBeenCalled();
  end();
});

test("what the page takes, the browser does not do as well", async () => {
  const { strike, end } = await inNotebook();
  const take = (event: KeyboardEvent) => event.key === "s" && event.preventDefault();
  document.addEventListener("keydown", take);
  expect(strike(".sw-slider", { key: "s", ctrlKey: true }).defaultPrevented).toBe(true);
  expect(strike(".sw-slider", { key: "r", ctrlKey: true }).defaultPrevented).toBe(false);
  document.removeEventListener("keydown", take);
  end();
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
