// The Saliency panel: where in a sample the prediction comes from, in the dense model and in its trace.
// This room holds what only this panel shows: maps/, the toolbar above them, and its part of the wire and of the state. It
// imports from common/ and lib/, and from no other panel.

import { useEffect, useState } from "preact/hooks";
import { Announcer } from "../../common/frame/Announcer";
import { Controls } from "../../common/frame/Controls";
import { ErrorLine } from "../../common/frame/ErrorLine";
import { Header, StopResume } from "../../common/frame/Header";
import { StatusChip } from "../../common/frame/StatusChip";
import { mount, type RenderProps } from "../../common/mount";
import { Predictions } from "../../common/predictions/Predictions";
import { DropHint } from "../../common/samples/DropHint";
import { Samples } from "../../common/samples/Samples";
import { PlanControls } from "../../common/sparsity/PlanControls";
import { SparsityBar } from "../../common/sparsity/SparsityBar";
import { TraceFacts } from "../../common/sparsity/TraceFacts";
import type { PanelState } from "../../common/state";
import { ClassLine } from "./ClassLine";
import { Curves } from "./Curves";
import { Grid } from "./maps/Grid";
import { SaliencyContext, type SaliencyState, saliencyState } from "./state";
import { Toolbar } from "./toolbar/Toolbar";
import { type MethodInfo, type SaliencyMessage, type SaliencyTraits, saliencyDefaults } from "./wire";

function paused({ traits }: SaliencyState): boolean {
  return Object.values(traits.cells.value).some((cell) => cell.state === "stopped");
}

/** Alone on screen: with samples, predictions and the trace beside the maps. */
function Whole({ panel }: { panel: SaliencyState }) {
  return (
    <div class="sw-panel sw-saliency">
      <Header title="SPADE Saliency" paused={paused(panel)} />
      <ErrorLine />
      <div class="sw-columns">
        <div class="sw-column sw-column-sample">
          <Controls>
            <Samples />
          </Controls>
          <Predictions
            chosen={panel.target.value}
            what="show what speaks for this class"
            onChoose={(index) => panel.connection.set("target", index)}
          />
        </div>
        <div class="sw-column">
          <section class="sw-maps-part" aria-label="Saliency maps">
            <Controls>
              <ClassLine />
            </Controls>
            <Toolbar />
            <Grid />
          </section>
          <section class="sw-trace" aria-label="Trace">
            <Controls>
              <SparsityBar />
              <PlanControls />
            </Controls>
            <TraceFacts />
          </section>
        </div>
      </div>
      <Curves />
      <DropHint />
      <Announcer />
    </div>
  );
}

/** Inside the Explorer, which has the rest. */
function Embedded({ panel }: { panel: SaliencyState }) {
  return (
    <div class="sw-panel sw-saliency sw-embedded">
      <ErrorLine embedded />
      <section class="sw-maps-part" aria-label="Saliency maps">
        <div class="sw-class-row">
          <Controls>
            <ClassLine />
          </Controls>
          {panel.connection.live.value && <StatusChip />}
          {panel.connection.live.value && <StopResume paused={paused(panel)} />}
        </div>
        <Toolbar />
        <Grid />
      </section>
      <Curves />
      <Announcer />
    </div>
  );
}

function Saliency({ base }: { base: PanelState<SaliencyTraits, SaliencyMessage> }) {
  const [[panel, end]] = useState(() => saliencyState(base));
  useEffect(() => end, [end]);
  return (
    <SaliencyContext.Provider value={panel}>
      {panel.traits.embedded.value ? <Embedded panel={panel} /> : <Whole panel={panel} />}
    </SaliencyContext.Provider>
  );
}

const render = (props: RenderProps) =>
  mount<SaliencyTraits, SaliencyMessage>(props, {
    defaults: (model) => saliencyDefaults((model.get("all_methods") as MethodInfo[] | undefined) ?? []),
    show: (base) => <Saliency base={base} />,
  });

export default { render };
