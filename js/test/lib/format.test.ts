import { expect, test } from "vitest";
import { count, decimal, fileName, median, percent, seconds, short } from "../../src/lib/format";

test("numbers as they are read", () => {
  expect(count(1230506)).toBe("1\u202f230\u202f506");
  expect(count(999)).toBe("999");
  expect(short(1230506)).toBe("1.23\u202fM");
  expect(percent(0.8745)).toBe("87.5");
  expect(seconds(2.345)).toBe("2.3\u202fs");
  expect(seconds(125)).toBe("2:05\u202fmin");
  expect(decimal(-3.9)).toBe("\u22123.90");
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

test("file names that every system takes", () => {
  expect(fileName("a/b\\c: <d>", "logit:ball", "trace-91.0")).toBe("a-b-c-d_logit-ball_trace-91.0.png");
  expect(fileName("../..", "")).toBe("picture.png");
});
