import { useMemo } from "preact/hooks";
import { Controls } from "../../../common/frame/Controls";
import { count, decimal, roughly } from "../../../lib/format";
import { parseNeuron } from "../../../lib/neuron";
import { useFacets } from "../state";
import type { Survey, SurveyRow } from "../wire";

const columns: readonly (readonly [string, string])[] = [
  ["channel", "The channel's number"],
  ["facets", "How many facets its examples fall into"],
  [
    "clear",
    "How much clearer the groups are than those of data without groups; below zero there is one facet",
  ],
  ["stable", "How far half of the examples give the same facets: 1 is wholly"],
];

/** The rows in order; of equal ones the lower channel first. */
export function inOrder(rows: readonly SurveyRow[], column: number, down: boolean): SurveyRow[] {
  const sign = down ? -1 : 1;
  return [...rows].sort((a, b) => sign * ((a[column] ?? 0) - (b[column] ?? 0)) || a[0] - b[0]);
}

function describe({ state, done, of, left, rows }: Survey): string {
  const several = rows.filter(([, facets]) => facets > 1).length;
  const said = `${count(several)} of ${count(rows.length)} have several`;
  if (state === "looking") return `${count(done)} of ${count(of)} photographs`;
  if (state === "working")
    return done === 0
      ? "looking …"
      : `${count(done)} of ${count(of)}${left ? `, ${roughly(left)} left` : ""}`;
  if (state === "stopped") return `left off at ${count(done)} of ${count(of)}`;
  return state === "done" ? (rows.length > 0 ? said : "too few photographs excite its channels") : "\u00a0";
}

/** Which of a layer's neurons have several facets? Looked for while nothing else is to be done, and kept. */
export function SurveyList() {
  const panel = useFacets();
  const { survey, layer, listing, neuron } = panel.traits;
  const { column, down } = panel.sorting.value;
  const shown = survey.value.layer === layer.value;
  const rows = useMemo(
    () => (shown ? inOrder(survey.value.rows, column, down) : []),
    [survey.value, shown, column, down],
  );
  const parsed = parseNeuron(neuron.value);
  const here = parsed?.kind === "channel" && parsed.layer === layer.value ? parsed.channel : -1;
  const open = listing.value;
  return (
    <section class="sw-survey" aria-label="Which neurons have several facets?">
      <Controls>
        <button
          type="button"
          class="sw-button sw-opens sw-survey-open"
          aria-expanded={open}
          onClick={() => panel.connection.set("listing", !open)}
        >
          Which neurons have several?
        </button>
        {open && (
          <>
            <p class="sw-line sw-secondary" title={layer.value}>
              {layer.value} · {shown ? describe(survey.value) : "looking …"}
            </p>
            {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
            <div class="sw-survey-scroll" tabIndex={0} role="region" aria-label="List of channels">
              <table>
                <thead>
                  <tr>
                    {columns.map(([name, meaning], index) => (
                      <th
                        key={name}
                        scope="col"
                        aria-sort={index === column ? (down ? "descending" : "ascending") : "none"}
                      >
                        <button
                          type="button"
                          class="sw-sort"
                          title={meaning}
                          onClick={() => {
                            panel.sorting.value = {
                              column: index,
                              down: index === column ? !down : index > 0,
                            };
                          }}
                        >
                          {name}
                          <span aria-hidden="true">{index === column ? (down ? " ↓" : " ↑") : ""}</span>
                        </button>
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {rows.map(([channel, facets, clear, stable]) => (
                    <tr key={channel} data-here={channel === here}>
                      <th scope="row">
                        <button
                          type="button"
                          class="sw-class"
                          aria-pressed={channel === here}
                          aria-label={`Channel ${channel}`}
                          onClick={() => panel.connection.set("neuron", `${layer.value}:${channel}`)}
                        >
                          {channel}
                        </button>
                      </th>
                      <td>{facets}</td>
                      <td>{decimal(clear)}</td>
                      <td>{facets > 1 ? decimal(stable) : "–"}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          </>
        )}
      </Controls>
    </section>
  );
}
