// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { memoryOf, remembered } from "../../src/common/memory";
import type { AnyModel } from "../../src/common/model";
import { type Mounted, mount } from "../explorer.setup";
import { find } from "../page.setup";

const details = (panel: Mounted) => find<HTMLDetailsElement>(panel.el, "details.sw-left");

test("a view that is made anew begins where the last one was; another model's does not", async () => {
  const first = await mount();
  expect(details(first).open).toBe(false);
  await act(() => {
    details(first).open = true;
    details(first).dispatchEvent(new Event("toggle"));
  });
  await first.unmount();

  const again = await mount({}, undefined, first.model);
  expect(details(again).open).toBe(true);
  expect(again.sent("chart").length).toBeGreaterThan(0); // what is unfolded has its chart
  const other = await mount();
  expect(details(other).open).toBe(false);
  await again.unmount();
  await other.unmount();
});

test("proxies of one model are known by the model of its layout", () => {
  const layout = {};
  const proxy = () => ({ get: (name: string) => (name === "layout" ? layout : undefined) }) as AnyModel;
  remembered(memoryOf(proxy()), "open", false).value = true;
  expect(remembered(memoryOf(proxy()), "open", false).value).toBe(true);
  expect(remembered(memoryOf({ get: () => undefined } as unknown as AnyModel), "open", false).value).toBe(
    false,
  );
});
