import { expect, test, vi } from "vitest";
import { throttle } from "../../src/lib/throttle";

test("the first call goes at once, of those that come too early the newest goes when the time is up", () => {
  vi.useFakeTimers();
  const call = vi.fn();
  const soon = throttle(call, 40);
  soon(1);
  soon(2);
  soon(3);
  expect(call.mock.calls).toEqual([[1]]);
  vi.advanceTimersByTime(40);
  expect(call.mock.calls).toEqual([[1], [3]]);
  soon(4);
  soon.cancel();
  vi.advanceTimersByTime(100);
  expect(call).toHaveBeenCalledTimes(2);
  vi.useRealTimers();
});
