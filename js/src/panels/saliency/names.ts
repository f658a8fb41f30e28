import type { Which } from "../../common/wire";
import { fileStem } from "../../lib/format";
import type { SaliencyState } from "./state";

/** What the two rows are called: as titles, and in a sentence. */
export const rowTitles: Record<Which, string> = { dense: "Dense", sparse: "Trace" };
export const rowNames: Record<Which, string> = { dense: "dense model", sparse: "trace" };

/** What a file about this sample is called, without its ending. */
export function stem(panel: SaliencyState, ...parts: string[]): string {
  const { samples, sample_id } = panel.traits;
  const sample = samples.value.find((known) => known.id === sample_id.value);
  return fileStem(sample?.title ?? "sample", ...parts);
}
