import { useMemo } from "preact/hooks";
import { ExampleRow } from "../../../common/examples/ExampleRow";
import { Controls } from "../../../common/frame/Controls";
import { count, percent } from "../../../lib/format";
import { Mark, shapeName } from "../marks";
import { useFacets } from "../state";
import type { FacetInfo, FacetTrace, Point } from "../wire";
import { FacetPicture } from "./FacetPicture";

const share = (value: number) => `${percent(value, 0).replace("-", "\u2212")} %`;

/** What the facet's trace is, and what it keeps of the neuron: of its own examples, and of the others'. */
function TraceLine({ trace }: { trace: FacetTrace | null }) {
  if (!trace) return <p class="sw-line sw-secondary">no trace yet</p>;
  const { kept, total, keeps_own, keeps_others } = trace;
  return (
    <div class="sw-facet-trace">
      <p title={`${trace.solver}, ${trace.augmentations} augmentations of all of its examples together`}>
        keeps <b>{count(kept)}</b> of {count(total)} weights
      </p>
      {keeps_own !== null && (
        <p title="Medians of the share of the dense network's activation that the neuron has under this trace">
          keeps <b class="sw-sparse sw-ink">{share(keeps_own)}</b> of its own examples’ activation
          {keeps_others !== null && (
            <>
              , <b>{share(keeps_others)}</b> of the others’
            </>
          )}
        </p>
      )}
    </div>
  );
}

/** One facet: its mark and share, the crops of its examples, its picture and its trace. */
export function FacetRow({ facet, number }: { facet: FacetInfo; number: number }) {
  const panel = useFacets();
  const { examples, sample_id, trace_rows } = panel.traits;
  const all = examples.value;
  const own = useMemo(() => facet.members.flatMap((place) => all[place] ?? []), [facet, all]);
  const name = `Facet ${number + 1}`;
  return (
    <section class="sw-facet" aria-label={name} data-facet={number} aria-busy={panel.stale.value}>
      <FacetPicture place={number + 1} title={`${name} under its trace`} />
      <div class="sw-facet-rest">
        <div class="sw-facet-head">
          <Mark facet={number} />
          <h4>{name}</h4>
          <span class="sw-facet-share" title={`Its examples are each a ${shapeName(number)} in the plot`}>
            <b>{facet.members.length}</b> of {all.length} examples
          </span>
          <span class="sw-bar sw-share-bar" data-facet={number} aria-hidden="true">
            <span style={{ width: `${100 * facet.share}%` }} />
          </span>
        </div>
        <Controls>
          <ExampleRow
            label={`Examples of facet ${number + 1}`}
            examples={own as Point[]}
            sample={sample_id.value}
            busy={panel.stale.value}
            onChoose={({ id }) => panel.send({ type: "example", id })}
          />
        </Controls>
        <TraceLine trace={trace_rows.value[number] ?? null} />
      </div>
    </section>
  );
}
