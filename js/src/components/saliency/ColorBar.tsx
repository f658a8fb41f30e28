import { gradient } from "../../lib/colormaps";
import { figure } from "../../lib/format";
import { type Scale, tableRange } from "../../lib/maps";

/** What the colours mean, in numbers. */
export function ColorBar({ scale, clip }: { scale: Scale; clip: number }) {
  const { limit, negative, colours } = scale;
  const [from, to] = tableRange(scale);
  return (
    <div
      class="sw-colorbar"
      title={`The colours end at the ${clip}th percentile of the values' magnitudes: ${figure(limit)}`}
    >
      <span class="sw-colorbar-strip" style={{ background: gradient(colours, from, to) }} />
      <span class="sw-colorbar-numbers">
        <span>{negative ? figure(-limit) : "0"}</span>
        {negative && <span>0</span>}
        <span>{figure(limit)}</span>
      </span>
    </div>
  );
}
