import { InfoIcon } from "../../../common/parts/icons";
import { Popover } from "../../../common/parts/Popover";
import type { Which } from "../../../common/wire";
import { readMap, type Scale, scaleOf } from "../../../lib/maps";
import { type SaliencyState, useSaliency } from "../state";
import { type MethodInfo, mapTrait, networks } from "../wire";
import { Cell } from "./Cell";
import { ColorBar } from "./ColorBar";

/** A method's maps, and the scales that they are drawn on. */
export function measureColumn(panel: SaliencyState, method: MethodInfo) {
  const [height, width] = panel.traits.app.value.input;
  const look = panel.look.value;
  const read = (network: Which) =>
    readMap(panel.traits[mapTrait(network, method.key)]?.value, height * width);
  const maps = { dense: read("dense"), sparse: read("sparse") };
  const both = scaleOf([maps.dense, maps.sparse], method.signed, look);
  const own = (network: Which): Scale =>
    look.scale === "own" && maps[network] ? scaleOf([maps[network]], method.signed, look) : both;
  return { maps, both, scales: { dense: own("dense"), sparse: own("sparse") } };
}

interface Props {
  method: MethodInfo;
  masked: boolean;
  curved: boolean;
}

/** One method: its map in the dense model, under it that in the trace. */
export function Column({ method, masked, curved }: Props) {
  const panel = useSaliency();
  const { maps, both, scales } = measureColumn(panel, method);
  const { scale, clip } = panel.look.value;
  return (
    <section class="sw-method" aria-label={method.title}>
      <div class="sw-method-head">
        <h3 title={method.description}>{method.title}</h3>
        <Popover
          button={<InfoIcon />}
          label={`About ${method.title}`}
          title={`${method.description}\n${method.source}`}
          class="sw-icon-button sw-quiet"
        >
          {() => (
            <div class="sw-about">
              <p>{method.description}</p>
              <p class="sw-secondary">{method.source}</p>
            </div>
          )}
        </Popover>
      </div>
      {networks.map((network) => (
        <Cell
          key={network}
          network={network}
          method={method}
          map={maps[network]}
          scale={scales[network]}
          masked={masked}
          curved={curved}
        />
      ))}
      <div class="sw-method-foot">{scale === "same" && <ColorBar scale={both} clip={clip} />}</div>
    </section>
  );
}
