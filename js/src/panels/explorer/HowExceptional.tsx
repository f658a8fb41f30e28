import { useExplorer } from "../../common/explorer/state";
import { count } from "../../lib/format";

/** "more than 97 % of 312 photographs", from per cent. */
export function share(percentile: number, own: boolean, seen?: number): string {
  const of = `${seen === undefined ? "the" : count(seen)} ${own ? "samples" : "photographs"}`;
  if (percentile >= 100) return `more than all ${of}`;
  const shown = percentile > 99 ? percentile.toFixed(1) : percentile.toFixed(0);
  return `more than ${shown} % of ${of}`;
}

/** How exceptional the sample is for the neuron, among the photographs; nothing while they are not looked at. */
export function HowExceptional() {
  const panel = useExplorer();
  const { exceptional, neuron, sample_id, strip, photo_index } = panel.traits;
  if (!strip.value) return null;
  const { percentile, seen, ...of } = exceptional.value;
  const known = percentile !== null && of.neuron === neuron.value && of.sample_id === sample_id.value;
  return (
    <p class="sw-exceptional sw-secondary">
      {known ? (
        <>
          This sample excites it <b>{share(percentile, photo_index.value.own, seen)}</b>.
        </>
      ) : (
        "\u00a0"
      )}
    </p>
  );
}
