// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { expect, test, vi } from "vitest";
import { FakeModel } from "../../../demo/fakeModel";
import { show, traits } from "../../explorer.setup";
import { find, settle } from "../../page.setup";

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
  expect(el.querySelector(".sw-error")).toBeNull(); // it is none
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

test("what is not as usual about the model is said below the header", async () => {
  const panel = await show();
  expect(panel.el.querySelector(".sw-remark")).toBeNull();
  await panel.receive("app", {
    ...traits.app,
    remarks: ["emblems ends in a softmax.", "One image at a time."],
  });
  const said = [...panel.el.querySelectorAll(".sw-remark")].map((line) => line.textContent);
  expect(said).toEqual(["emblems ends in a softmax.", "One image at a time."]);
});
