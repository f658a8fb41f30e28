// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { show } from "../../explorer.setup";
import { find, settle } from "../../page.setup";

test("dropped files go to the kernel as they are; what is too large for a message is refused here", async () => {
  const panel = await show();
  const large = new File([new Uint8Array(1)], "large.tif");
  Object.defineProperty(large, "size", { value: 20e6 });
  const drop = new Event("drop", { bubbles: true, cancelable: true });
  Object.assign(drop, {
    dataTransfer: { types: ["Files"], files: [new File([new Uint8Array([1, 2])], "a.png"), large] },
  });
  await act(() => {
    find(panel.el, ".sw-panel").dispatchEvent(drop);
  });
  await settle();
  expect(drop.defaultPrevented).toBe(true);
  expect(panel.sent("add")).toEqual([{ type: "add", files: [{ name: "a.png" }] }]);
  const { buffers } = panel.model.sent.find(({ message }) => message.type === "add") ?? { buffers: [] };
  expect([...(buffers[0] as Uint8Array)]).toEqual([1, 2]);
  expect(find(panel.el, ".sw-error").textContent).toContain("large.tif has 20.0 MB");
});
