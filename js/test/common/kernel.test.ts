// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeModel } from "../../demo/fakeModel";
import { watchKernel } from "../../src/common/kernel";
import { connect } from "../../src/common/model";

class House {
  kernel: { isDisposed: boolean; status: string; connectionStatus: string } | null = {
    isDisposed: false,
    status: "busy",
    connectionStatus: "connected",
  };
  asked = 0;
  context = {
    sessionContext: {
      sessionManager: {
        refreshRunning: () => {
          this.asked += 1;
          return Promise.reject(new Error("out of reach"));
        },
      },
    },
  };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const pass = (seconds: number) => vi.advanceTimersByTime(seconds * 1000);

test("a busy kernel is there, however long it is busy; the house is asked every few seconds, once for all panels", () => {
  const house = new House();
  const watches = [watchKernel(house), watchKernel(house), watchKernel(house)];
  pass(60);
  expect(watches.map(({ state }) => state.value)).toEqual(["there", "there", "there"]);
  expect(house.asked).toBeGreaterThanOrEqual(12);
  expect(house.asked).toBeLessThanOrEqual(15);
  for (const watch of watches) watch.end();
  const before = house.asked;
  pass(60);
  expect(house.asked).toBe(before);
});

test.each([
  ["shut down", (house: House) => Object.assign(house.kernel as object, { isDisposed: true })],
  ["dead", (house: House) => Object.assign(house.kernel as object, { status: "dead" })],
  ["changed for another", (house: House) => Object.assign(house, { kernel: new House().kernel })],
  ["taken away", (house: House) => Object.assign(house, { kernel: null })],
])("a kernel that is %s is gone within two seconds, and stays so", (_, happen) => {
  const house = new House();
  const { state, end } = watchKernel(house);
  pass(3);
  happen(house);
  pass(2);
  expect(state.value).toBe("gone");
  pass(60);
  expect(state.value).toBe("gone");
  end();
});

test("a connection that breaks is said when it does not come back soon, and comes back", () => {
  const house = new House();
  const { state, end } = watchKernel(house);
  const kernel = house.kernel as { connectionStatus: string };
  pass(3);
  kernel.connectionStatus = "connecting";
  pass(4);
  kernel.connectionStatus = "connected";
  pass(4);
  expect(state.value).toBe("there");
  kernel.connectionStatus = "connecting";
  pass(8);
  expect(state.value).toBe("lost");
  kernel.connectionStatus = "connected";
  pass(2);
  expect(state.value).toBe("there");
  end();
});

test("nobody is asked by a page that nobody sees", () => {
  const house = new House();
  const { end } = watchKernel(house);
  vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  pass(30);
  expect(house.asked).toBe(0);
  end();
  vi.restoreAllMocks();
});

test("a panel follows its house, and a kernel that it gets again; elsewhere it goes by its comm", () => {
  const house = new House();
  const view = { model: { comm_live: true } };
  const model = new FakeModel({ layout: { comm_live: true, widget_manager: house } });
  const on = model.on.bind(model);
  model.on = (name, callback) => on(name, (...args) => callback.apply(view, args));
  const { live, lost, dispose } = connect(model, { sparsity: 0 });
  pass(2);
  Object.assign(house.kernel as object, { connectionStatus: "disconnected" });
  pass(8);
  expect([live.value, lost.value]).toEqual([false, true]);
  Object.assign(house.kernel as object, { isDisposed: true });
  pass(2);
  expect([live.value, lost.value]).toEqual([false, false]);
  view.model.comm_live = false;
  model.emit("comm_live_update");
  house.kernel = new House().kernel;
  view.model.comm_live = true;
  model.emit("comm_live_update");
  pass(5);
  expect(live.value).toBe(true);
  dispose();
  expect(vi.getTimerCount()).toBe(0);

  for (const layout of [undefined, null, "IPY_MODEL_1", { comm_live: true }, { widget_manager: {} }]) {
    const other = connect(new FakeModel({ layout }), {});
    pass(30);
    expect(other.live.value).toBe(true);
    other.dispose();
  }
  expect(vi.getTimerCount()).toBe(0);
});
