import { Controls } from "../../../common/frame/Controls";
import { Segments } from "../../../common/parts/Segments";
import { describeNeuron } from "../../../lib/neuron";
import { useFacets } from "../state";
import { AUTO, MOST } from "../wire";
import { FacetPicture } from "./FacetPicture";
import { FacetRow } from "./FacetRow";

const counts: (readonly [string, string, string])[] = [
  [String(AUTO), "auto", "As many as are clearer than chance, which may be one"],
  ...Array.from({ length: MOST }, (_, at): readonly [string, string, string] => [
    String(at + 1),
    String(at + 1),
    at === 0 ? "All examples together" : `${at + 1} facets, whether or not there are so many`,
  ]),
];

/** The dense picture with what is to be thought of the facets; then a row a facet. */
export function Rows() {
  const panel = useFacets();
  const { app, neuron, count, groups, summary, status } = panel.traits;
  const name = describeNeuron(neuron.value, app.value.classes);
  const { sentence, facets } = summary.value;
  const fresh = !panel.stale.value;
  const own = groups.value.length > 0;
  const waiting = status.value.state === "working" ? "looking for its facets …" : "no facets are known.";
  const [height, width] = app.value.input;
  return (
    <section class="sw-facet-rows" aria-label="Facets" style={{ "--sw-aspect": `${width} / ${height}` }}>
      <div class="sw-facet sw-facet-dense">
        <FacetPicture place={0} title={`What excites ${name} in the dense network`} />
        <div class="sw-facet-rest">
          <h3 class="sw-facet-neuron" title={name}>
            {name || "\u00a0"}
          </h3>
          <p class="sw-sure">{fresh && sentence ? sentence : waiting}</p>
          <Controls>
            <div class="sw-count">
              <span class="sw-label" id={panel.id("count")}>
                Facets
              </span>
              <Segments
                label="How many facets"
                choices={counts}
                chosen={own ? "" : String(count.value)}
                onChoose={(choice) => {
                  if (own) panel.connection.set("groups", []);
                  panel.connection.set("count", Number(choice));
                }}
              />
              {own && <span class="sw-secondary">your own groups</span>}
            </div>
          </Controls>
        </div>
      </div>
      {facets.map((facet, number) => (
        <FacetRow key={number} facet={facet} number={number} />
      ))}
    </section>
  );
}
