import { expect, test } from "vitest";
import { cutAt } from "../../src/lib/rows";

test("a list ends within pictures, as near to its room as that allows", () => {
  const [top, pitch, picture] = [5, 84, 58];
  for (let room = 90; room < 600; room++) {
    const end = cutAt(room, top, pitch, picture);
    expect(end).toBeLessThanOrEqual(room);
    expect(end).toBeGreaterThan(room - (pitch - 0.6 * picture) - 1);
    const within = (end - top) % pitch;
    expect(within).toBeGreaterThanOrEqual(0.25 * picture - 1);
    expect(within).toBeLessThanOrEqual(0.85 * picture);
  }
});
