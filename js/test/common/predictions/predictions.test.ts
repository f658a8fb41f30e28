// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { show } from "../../explorer.setup";

test("predictions stand side by side, and what is not known is a dash", async () => {
  const { el } = await show();
  const rows = [...el.querySelectorAll(".sw-predictions tbody tr:first-child")].map((row) =>
    [...row.querySelectorAll("th, td.sw-number")].map((cell) => cell.textContent),
  );
  expect(rows).toEqual([
    ["ball", "99.3", "4.1"],
    ["sea <i>", "0.4", "–"],
  ]);
  const widths = [...el.querySelectorAll<HTMLElement>(".sw-bars .sw-bar > span")].map(
    (bar) => bar.style.width,
  );
  expect(widths).toEqual(["99.31%", "4.1000000000000005%", "0.4%"]);
});

test("the name of a predicted class shows that class as the neuron", async () => {
  const panel = await show({ neuron: "logit:ball" });
  const names = [...panel.el.querySelectorAll<HTMLElement>(".sw-class")];
  expect(names.map((name) => name.getAttribute("aria-pressed"))).toEqual(["true", "false"]);
  await act(() => names[1]?.click());
  expect(panel.model.state.neuron).toBe("logit:sea");
  expect(names.map((name) => name.getAttribute("aria-pressed"))).toEqual(["false", "true"]);
});
