import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeModel } from "../../demo/fakeModel";
import { type AnyModel, connect } from "../../src/common/model";

const defaults = { sparsity: 0, title: "", picture: new ArrayBuffer(0) as ArrayBuffer | DataView };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("signals follow the model, and missing traits have their defaults", () => {
  const model = new FakeModel({ sparsity: 0.5, title: null });
  const { traits } = connect(model, defaults);
  expect(traits.sparsity.value).toBe(0.5);
  expect(traits.title.value).toBe("");
  model.receive("sparsity", 0.9);
  expect(traits.sparsity.value).toBe(0.9);
});

test("records that Python has not filled yet are filled from the defaults", () => {
  const model = new FakeModel({ record: {}, rows: [1] });
  const { traits } = connect(model, { record: { rows: [] as number[], id: "" }, rows: [] as number[] });
  expect(traits.record.value).toEqual({ rows: [], id: "" });
  expect(traits.rows.value).toEqual([1]);
  model.receive("record", { rows: [2] });
  expect(traits.record.value).toEqual({ rows: [2], id: "" });
});

test("one of many traits is followed from when it is asked for, also before it is there", () => {
  const model = new FakeModel({ part_0: "a" });
  const { numbered, dispose } = connect(model, defaults);
  const [first, second] = [numbered("part", 0), numbered("part", 1)];
  expect([first.value, second.value]).toEqual(["a", undefined]);
  model.receive("part_1", "b");
  model.receive("part_0", "c");
  expect([first.value, second.value]).toEqual(["c", "b"]);
  expect(numbered("part", 1)).toBe(second);
  dispose();
  expect(model.listening).toBe(0);
});

test("set reaches the kernel and one's own signal", () => {
  const model = new FakeModel({ sparsity: 0.5 });
  const { traits, set } = connect(model, defaults);
  set("sparsity", 0.7);
  expect(model.saved).toEqual([{ sparsity: 0.7 }]);
  expect(traits.sparsity.value).toBe(0.7);
});

test("setSoon sends at most once in 40 ms, the newest last", () => {
  const model = new FakeModel({ sparsity: 0 });
  const { setSoon } = connect(model, defaults);
  for (let step = 1; step <= 30; step++) {
    setSoon("sparsity", step / 100);
    vi.advanceTimersByTime(4);
  }
  expect(model.saved.length).toBeLessThanOrEqual(4);
  vi.advanceTimersByTime(40);
  expect(model.saved.at(-1)).toEqual({ sparsity: 0.3 });
});

test("a set on release overtakes what was still waiting", () => {
  const model = new FakeModel({ sparsity: 0 });
  const { set, setSoon } = connect(model, defaults);
  setSoon("sparsity", 0.1);
  setSoon("sparsity", 0.2);
  set("sparsity", 0.3);
  vi.advanceTimersByTime(200);
  expect(model.saved).toEqual([{ sparsity: 0.1 }, { sparsity: 0.3 }]);
});

test("dispose takes off the very callbacks that were put on, sends what waits, and leaves other listeners alone", () => {
  const model = new FakeModel({ sparsity: 0 });
  const foreign = vi.fn();
  model.on("change:sparsity", foreign);
  const on = vi.spyOn(model, "on");
  const off = vi.spyOn(model, "off");
  const connection = connect(model, defaults);
  const heard = vi.fn();
  connection.onMessage(heard);
  connection.setSoon("sparsity", 0.1);
  connection.setSoon("sparsity", 0.2);
  connection.dispose();

  expect(new Set(off.mock.calls.map((call) => call[1]))).toEqual(
    new Set(on.mock.calls.map((call) => call[1])),
  );
  expect(off.mock.calls.every((call) => typeof call[1] === "function")).toBe(true);
  expect(model.listening).toBe(1);
  expect(model.state.sparsity).toBe(0.2);
  model.emit("msg:custom", { type: "frame" }, []);
  expect(heard).not.toHaveBeenCalled();
  expect(foreign).toHaveBeenCalled();
});

test("one message listener can leave without the others", () => {
  const model = new FakeModel();
  const { onMessage } = connect(model, defaults);
  const first = vi.fn();
  const second = vi.fn();
  const leave = onMessage(first);
  onMessage(second);
  leave();
  leave();
  model.emit("msg:custom", { type: "frame" }, ["bytes"]);
  expect(first).not.toHaveBeenCalled();
  expect(second).toHaveBeenCalledExactlyOnceWith({ type: "frame" }, ["bytes"]);
});

test("two connections to one model do not know of one another", () => {
  const model = new FakeModel({ sparsity: 0 });
  const one = connect(model, defaults);
  const other = connect(model, defaults);
  one.set("sparsity", 0.4);
  expect(other.traits.sparsity.value).toBe(0.4);
  one.dispose();
  model.receive("sparsity", 0.8);
  expect(one.traits.sparsity.value).toBe(0.4);
  expect(other.traits.sparsity.value).toBe(0.8);
});

test("a dead comm is noticed: by what it throws, by its close, by what the view knows", () => {
  const throwing = new FakeModel({ sparsity: 0 });
  throwing.send = () => {
    throw new Error("Cannot send");
  };
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const first = connect(throwing, defaults);
  expect(first.live.value).toBe(true);
  first.send({ type: "stop" });
  expect(first.live.value).toBe(false);

  const closing = new FakeModel({});
  const second = connect(closing, defaults);
  closing.emit("comm:close");
  expect(second.live.value).toBe(false);

  // As Backbone does it: the callback's `this` is the view that the proxy was made for.
  const view = { model: { comm_live: false } };
  const inner = new FakeModel({});
  const proxy: AnyModel = {
    get: (name) => inner.get(name),
    set: (name, value) => inner.set(name, value),
    save_changes: () => inner.save_changes(),
    send: (content) => inner.send(content),
    on: (name, callback) => inner.on(name, (...args) => callback.apply(view, args)),
    off: () => {},
  };
  const third = connect(proxy, defaults);
  inner.emit("comm_live_update");
  expect(third.live.value).toBe(false);
  view.model.comm_live = true;
  inner.emit("comm_live_update");
  expect(third.live.value).toBe(true);
});
