import { useState } from "preact/hooks";
import { ExplorerContext, explorerState } from "../../common/explorer/state";
import type { ExplorerMessage, Traits } from "../../common/explorer/wire";
import { Announcer } from "../../common/frame/Announcer";
import { ErrorLine } from "../../common/frame/ErrorLine";
import { Expand, Summary } from "../../common/frame/Header";
import { Remarks } from "../../common/frame/Remarks";
import { Pictures } from "../../common/pictures/Pictures";
import { NeuronPredictions } from "../../common/predictions/NeuronPredictions";
import { Samples } from "../../common/samples/Samples";
import { LayerTable } from "../../common/sparsity/LayerTable";
import { SparsityBar } from "../../common/sparsity/SparsityBar";
import { TraceFacts } from "../../common/sparsity/TraceFacts";
import type { PanelState } from "../../common/state";
import { Neurons } from "./Neurons";
import type { Images, Recording } from "./recording";

/** The Explorer without a kernel: the same parts on what was recorded, and none that would need more. */
export function Lesson({
  base,
  recording,
  image,
}: {
  base: PanelState<Traits, ExplorerMessage>;
  recording: Recording;
  image: Images;
}) {
  const [panel] = useState(() => explorerState(base));
  return (
    <ExplorerContext.Provider value={panel}>
      <main class="sw-panel">
        <header class="sw-header">
          <h1>{recording.title}</h1>
          <Summary />
          <div class="sw-actions">
            <Expand />
          </div>
        </header>
        <Remarks />
        <ErrorLine />
        <h2 class="sw-hidden">What was recorded</h2>
        <div class="sw-columns">
          <div class="sw-column sw-column-sample">
            <Samples fixed />
            <NeuronPredictions has={(neuron) => recording.neurons.includes(neuron)} />
          </div>
          <div class="sw-column sw-column-pictures">
            <Pictures />
            <section class="sw-trace" aria-label="Trace">
              <SparsityBar stops={recording.sparsities} />
              <TraceFacts />
            </section>
          </div>
          <div class="sw-column sw-column-neuron">
            <Neurons recording={recording} image={image} />
          </div>
        </div>
        <details class="sw-left">
          <summary>
            <h3>What is left</h3>
            <span class="sw-secondary">kept weights and relative error, layer by layer</span>
          </summary>
          <LayerTable />
        </details>
        <footer class="sw-lesson-notes sw-secondary">
          {recording.notes.map((note) => (
            <p key={note}>{note}</p>
          ))}
        </footer>
        <Announcer />
      </main>
    </ExplorerContext.Provider>
  );
}
