// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { expect, test, vi } from "vitest";
import { show } from "../../explorer.setup";
import { find, press, type } from "../../page.setup";

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
