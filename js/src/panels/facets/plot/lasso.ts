// Which points a lasso holds, and where the arrows lead from a point. Places are in pixels, y downwards.

export interface Place {
  x: number;
  y: number;
}

/** Whether a place lies within a closed line: an even number of its sides to the right of it means outside. */
export function inside(line: readonly Place[], { x, y }: Place): boolean {
  let within = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [a, b] = [line[i] as Place, line[j] as Place];
    if (a.y > y !== b.y > y && x < ((b.x - a.x) * (y - a.y)) / (b.y - a.y) + a.x) within = !within;
  }
  return within;
}

const ways: Record<string, readonly [number, number]> = {
  ArrowRight: [1, 0],
  ArrowLeft: [-1, 0],
  ArrowDown: [0, 1],
  ArrowUp: [0, -1],
};

/** The next point in an arrow's direction: near, and more ahead than aside. Null where there is none, or no arrow. */
export function nextPoint(places: readonly Place[], from: number, key: string): number | null {
  const way = ways[key];
  const start = places[from];
  if (!way || !start) return null;
  let best: number | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const [index, place] of places.entries()) {
    if (index === from) continue;
    const [dx, dy] = [place.x - start.x, place.y - start.y];
    const ahead = dx * way[0] + dy * way[1];
    const aside = Math.abs(dx * way[1] + dy * way[0]);
    if (ahead <= 0) continue;
    const cost = ahead + 2 * aside;
    if (cost < least) {
      least = cost;
      best = index;
    }
  }
  return best;
}

/** Places in a square of this side, with a margin, where both directions have one scale. */
export function fitted(points: readonly Place[], side: number, margin: number): Place[] {
  if (points.length === 0) return [];
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  const middle = (values: number[]) => (Math.min(...values) + Math.max(...values)) / 2;
  const reach = (values: number[]) => Math.max(...values) - Math.min(...values);
  const scale = (side - 2 * margin) / (Math.max(reach(xs), reach(ys)) || 1);
  const [mx, my] = [middle(xs), middle(ys)];
  return points.map(({ x, y }) => ({ x: side / 2 + (x - mx) * scale, y: side / 2 - (y - my) * scale }));
}

/** The same places, moved apart where several are at one: by no more than that they can be told apart. */
export function apart(places: readonly Place[], side: number, least: number, margin: number): Place[] {
  const moved = places.map((place) => ({ ...place }));
  const within = (value: number) => Math.min(side - margin, Math.max(margin, value));
  for (let round = 0; round < 60; round++) {
    let still = true;
    for (let i = 0; i < moved.length; i++) {
      for (let j = 0; j < i; j++) {
        const [a, b] = [moved[i] as Place, moved[j] as Place];
        let [dx, dy] = [a.x - b.x, a.y - b.y];
        const between = Math.hypot(dx, dy);
        if (between >= least) continue;
        still = false;
        // At the very same place each pair goes a way of its own: by the golden angle.
        if (between < 1e-6) [dx, dy] = [Math.cos(2.4 * i), Math.sin(2.4 * i)];
        const push = (least - between) / 2 / (between < 1e-6 ? 1 : between);
        [a.x, a.y] = [within(a.x + dx * push), within(a.y + dy * push)];
        [b.x, b.y] = [within(b.x - dx * push), within(b.y - dy * push)];
      }
    }
    if (still) break;
  }
  return moved;
}
