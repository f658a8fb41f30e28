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
    // Of two at the same place, one would never be reached: the later one lies a little ahead.
    const step = ahead === 0 && aside === 0 && index > from ? 1e-6 : ahead;
    if (step <= 0) continue;
    const cost = step + 2 * aside;
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
