import { gradient } from "../../../lib/colormaps";
import { figure } from "../../../lib/format";
import { type Scale, tableRange } from "../../../lib/maps";

/** What the colours mean, in numbers. */
export function ColorBar({ scale, clip }: { scale: Scale; clip: number }) {
  const { limit, signs, colours } = scale;
  const [from, to] = tableRange(scale);
  const known = limit > 0;
  return (
    <div
      class="sw-colorbar"
      title={
        known ? `The colours end at ${figure(limit)}: ${clip} % of the magnitudes are not greater` : undefined
      }
    >
      <span
        class="sw-colorbar-strip"
        style={{ background: known ? gradient(colours, from, to) : undefined }}
      />
      <span class="sw-colorbar-numbers">
        <span>{!known ? "\u00a0" : signs === "both" ? figure(-limit) : "0"}</span>
        {known && signs === "both" && <span>0</span>}
        <span>{known ? figure(limit) : ""}</span>
      </span>
    </div>
  );
}
