import { count, percent } from "../../lib/format";
import { usePanel } from "../state";
import { isTrace } from "./trace";

/** A row a pruned layer: what was kept and how far its output is off. */
export function LayerTable() {
  const trace = usePanel().traits.trace_summary.value;
  if (!isTrace(trace)) return <p class="sw-secondary">No trace of this sample yet.</p>;
  return (
    <div class="sw-layers">
      <table>
        <thead>
          <tr>
            <th scope="col">layer</th>
            <td />
            <th scope="col" class="sw-number">
              kept %
            </th>
            <th scope="col" class="sw-number">
              weights
            </th>
            <td />
            <th scope="col" class="sw-number">
              error
            </th>
          </tr>
        </thead>
        <tbody>
          {trace.layers.map((layer) => {
            const share = layer.total > 0 ? layer.kept / layer.total : 0;
            return (
              <tr key={layer.name}>
                <th scope="row" title={layer.name}>
                  {layer.name}
                </th>
                <td aria-hidden="true">
                  <span class="sw-bar sw-sparse">
                    <span style={{ width: `${share * 100}%` }} />
                  </span>
                </td>
                <td class="sw-number">{percent(share)}</td>
                <td class="sw-number sw-secondary">
                  {count(layer.kept)} of {count(layer.total)}
                </td>
                <td aria-hidden="true">
                  <span class="sw-bar">
                    <span style={{ width: `${Math.min(1, layer.error ?? 0) * 100}%` }} />
                  </span>
                </td>
                <td class="sw-number">{layer.error === null ? "–" : layer.error.toFixed(3)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
