// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { expect, test } from "vitest";
import { show } from "../../explorer.setup";
import { find, png, settle } from "../../page.setup";

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

test("each sample has its own thumbnail, also one that comes later", async () => {
  const panel = await show({ ...{ thumbs_0: [png(1), png(2)], thumbs_1: undefined } } as object);
  const shown = () =>
    [...panel.el.querySelectorAll(".sw-sample-grid [role=radio]")].map((tile) => {
      const [kind, image] = tile.querySelector("img")?.getAttribute("src")?.split(",") ?? [];
      if (!image) return undefined;
      expect(kind).toBe("data:image/png;base64");
      return atob(image).charCodeAt(4);
    });
  await settle();
  expect(shown()).toEqual([1, 2, undefined]);
  await act(() => panel.model.receive("thumbs_1", [png(3)]));
  await settle();
  expect(shown()).toEqual([1, 2, 3]);
  await panel.unmount();
  expect(panel.model.listening).toBe(0);
});
