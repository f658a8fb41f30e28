import { percent } from "../../lib/format";
import { isStale } from "../sparsity/trace";
import { usePanel } from "../state";

function Bar({ share, which }: { share: number | null; which: "dense" | "sparse" }) {
  return (
    <span class={`sw-bar sw-${which}`}>
      {share !== null && <span style={{ width: `${share * 100}%` }} />}
    </span>
  );
}

interface Props {
  /** The class that is marked, and what a click on a class does, as index and in words. */
  chosen: number | null;
  what: string;
  onChoose(index: number): void;
  /** Which classes can be clicked (default: all). */
  canChoose?(index: number): boolean;
}

/** What the sample is taken for, by the dense model and by its trace; a class's name can be clicked. */
export function Predictions({ chosen, what, onChoose, canChoose = () => true }: Props) {
  const panel = usePanel();
  const { sample_id, rows } = panel.traits.predictions.value;
  const live = panel.connection.live.value;
  const stale = sample_id !== panel.traits.sample_id.value;
  return (
    <section class="sw-predictions" aria-busy={stale} data-trace-stale={isStale(panel)}>
      <table>
        <thead>
          <tr>
            <th scope="col">
              <h3>Prediction, %</h3>
            </th>
            <th scope="col" class="sw-number sw-dense">
              dense
            </th>
            <th scope="col" class="sw-number sw-sparse">
              trace
            </th>
          </tr>
        </thead>
        {rows.map((row) => (
          <tbody key={row.index}>
            <tr>
              <th scope="row">
                {live && canChoose(row.index) ? (
                  <button
                    type="button"
                    class="sw-class"
                    aria-pressed={row.index === chosen}
                    title={`${row.name}: ${what}`}
                    onClick={() => onChoose(row.index)}
                  >
                    <bdi>{row.name}</bdi>
                  </button>
                ) : (
                  <span class="sw-line" title={row.name}>
                    <bdi>{row.name}</bdi>
                  </span>
                )}
              </th>
              <td class="sw-number sw-dense">{percent(row.dense)}</td>
              <td class="sw-number sw-sparse">{row.sparse === null ? "–" : percent(row.sparse)}</td>
            </tr>
            <tr class="sw-bars">
              <td colSpan={3}>
                <div aria-hidden="true">
                  <Bar share={row.dense} which="dense" />
                  <Bar share={row.sparse} which="sparse" />
                </div>
              </td>
            </tr>
          </tbody>
        ))}
      </table>
    </section>
  );
}
