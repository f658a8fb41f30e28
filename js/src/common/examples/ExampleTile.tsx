import { decimal } from "../../lib/format";
import { useImageUrl } from "../hooks/useImageUrl";
import type { ExampleInfo } from "./wire";

interface Props {
  example: ExampleInfo;
  /** The activation whose bar is full. */
  most: number;
  /** What a trace keeps of the activation, where 1 is all of it; null where that is not known. Undefined: not asked. */
  kept?: number | null | undefined;
}

const share = (value: number, most: number) =>
  `${100 * Math.min(1, Math.max(0, most > 0 ? value / most : 0))}%`;

/** The share that is kept, in words; nothing can be kept of what is not above zero. */
function keptOf(value: number, kept: number | null | undefined): string {
  if (kept === null || kept === undefined || value <= 0) return "–";
  if (kept < 0) return "<0%";
  return kept > 9.99 ? ">999%" : `${decimal(100 * kept, 0)}%`;
}

/** What is said of an example by those that read it aloud, and by a pointer at rest. */
export function describeExample({ title, value }: ExampleInfo, kept?: number | null): string {
  const held =
    kept === null || kept === undefined || value <= 0 ? "" : ` · the trace keeps ${decimal(100 * kept, 0)} %`;
  return `${title} · activation ${decimal(value)}${held}`;
}

/** An example's crop; below it a bar of what the dense network answers, and one of what a trace keeps of that. */
export function ExampleTile({ example, most, kept }: Props) {
  const url = useImageUrl(example.crop);
  return (
    <>
      <span class="sw-tile-image">{url && <img src={url} alt="" draggable={false} />}</span>
      <span class="sw-example-bars" aria-hidden="true">
        <span class="sw-bar sw-dense">
          <span style={{ width: share(example.value, most) }} />
        </span>
        {kept !== undefined && (
          <span class="sw-bar sw-sparse">
            {kept !== null && <span style={{ width: share(kept * example.value, most) }} />}
          </span>
        )}
      </span>
      <span class="sw-example-numbers">
        <span class="sw-dense">{decimal(example.value, most < 100 ? 1 : 0)}</span>
        {kept !== undefined && <span class="sw-sparse">{keptOf(example.value, kept)}</span>}
      </span>
    </>
  );
}
