import { expect, test } from "vitest";
import { cutAt } from "../../src/lib/rows";

test("a list ends within pictures or after a text, as near to its room as that allows", () => {
  const [top, pitch, picture] = [5, 84, 58];
  for (let room = 60; room < 600; room++) {
    const end = cutAt(room, top, pitch, picture);
    expect(end).toBeLessThanOrEqual(room);
    expect(end).toBeGreaterThan(room - (pitch - picture) - 0.25 * picture - 2);
    const within = (end - top) % pitch;
    const inPicture = within >= 0.25 * picture - 1 && within <= 0.85 * picture;
    const afterText = within >= pitch - 2;
    expect(inPicture || afterText).toBe(true);
  }
});
