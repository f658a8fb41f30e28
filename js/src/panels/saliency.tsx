// The Saliency panel: where in a sample the prediction comes from, in the dense model and in its trace.

import { mount, type RenderProps } from "../mount";
import {
  type MethodInfo,
  type SaliencyMessage,
  type SaliencyTraits,
  saliencyDefaults,
} from "../saliencyWire";

const render = (props: RenderProps) =>
  mount<SaliencyTraits, SaliencyMessage>(props, {
    defaults: (model) => saliencyDefaults((model.get("all_methods") as MethodInfo[] | undefined) ?? []),
    show: () => <div class="sw-panel" />,
  });

export default { render };
