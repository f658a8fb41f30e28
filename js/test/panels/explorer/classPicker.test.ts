// @vitest-environment happy-dom
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Mounted, mount } from "../../explorer.setup";
import { find, press, type } from "../../page.setup";

let panel: Mounted;
let field: HTMLInputElement;

beforeEach(async () => {
  panel = await mount({ neuron: "logit:sea" });
  field = find<HTMLInputElement>(panel.el, ".sw-class-picker input");
});
afterEach(() => panel.unmount());

const listed = () => [...panel.el.querySelectorAll("[role=option]")].map((one) => one.textContent);
const write = (text: string) =>
  act(() => {
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });

test("classes are found by a part of their name", async () => {
  await write("O");
  expect(listed()).toEqual(["dog1"]);
  await press(field, "Enter");
  expect(panel.model.state.neuron).toBe("logit:dog");
  expect(field.getAttribute("aria-expanded")).toBe("false");
});

test("opened, the field has the chosen class, and all are listed", async () => {
  await act(() => field.click());
  expect(field.value).toBe("sea");
  expect(listed()).toEqual(["ball0", "dog1", "sea2"]);
  await press(field, "Enter");
  expect(panel.model.state.neuron).toBe("logit:sea");
});

test("the chosen class's own name, typed, finds that class and no other", async () => {
  await write("sea");
  expect(listed()).toEqual(["sea2"]);
  await type(field, "sea");
  expect(panel.model.state.neuron).toBe("logit:sea");
});
