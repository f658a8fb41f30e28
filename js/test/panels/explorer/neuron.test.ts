// @vitest-environment happy-dom
import { expect, test } from "vitest";
import { show } from "../../explorer.setup";
import { find, press, type } from "../../page.setup";

test("the channel field goes to a channel, or says which there are", async () => {
  const panel = await show();
  const field = find<HTMLInputElement>(panel.el, ".sw-channel-field input");
  await type(field, "16");
  expect(panel.model.state.neuron).toBe("logit:ball");
  expect(find(panel.el, ".sw-neuron .sw-message").textContent).toBe(
    "stem has no channel 16: its channels are 0 to 15.",
  );
  expect(field.getAttribute("aria-invalid")).toBe("true");
  await type(field, "7");
  expect(panel.model.state.neuron).toBe("stem:7");
  expect(find(panel.el, ".sw-neuron .sw-message").hidden).toBe(true);
  expect(find(panel.el, ".sw-channel-grid [aria-checked=true]").textContent).toBe("7");
});

test("the tiles are one stop for Tab, and arrows choose", async () => {
  const panel = await show();
  const tiles = [...panel.el.querySelectorAll<HTMLElement>(".sw-sample-grid .sw-tile")];
  expect(tiles.map((tile) => tile.tabIndex)).toEqual([0, -1, -1]);
  await press(tiles[0] as HTMLElement, "ArrowRight");
  expect(panel.model.state.sample_id).toBe("b");
  expect(tiles.map((tile) => tile.getAttribute("aria-checked"))).toEqual(["false", "true", "false"]);
  expect(tiles.map((tile) => tile.tabIndex)).toEqual([-1, 0, -1]);
  expect(document.activeElement).toBe(tiles[1]);
});
