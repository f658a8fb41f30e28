// A panel outside of Jupyter: demo/index.html?panel=saliency&theme=dark&width=760&classes=1000&views=2&error=…
import explorer from "../src/panels/explorer/main";
import saliency from "../src/panels/saliency/main";
import { startFakeKernel } from "./fakeKernel";
import { startFakeSaliency } from "./fakeSaliency";

const wanted = new URLSearchParams(location.search);
document.body.dataset.jpThemeLight = String(wanted.get("theme") !== "dark");
const kernel = await startFakeKernel({
  manyClasses: wanted.get("classes") === "1000",
  empty: wanted.has("empty"),
});
const maps = await startFakeSaliency(kernel, wanted.get("panel") !== "saliency");
kernel.receive("saliency_panel", "anywidget:maps");
const host = {
  getWidget: async () => ({
    render: async ({ el }: { el: HTMLElement }) => saliency.render({ model: maps, el }),
  }),
};
const [panel, model] = wanted.get("panel") === "saliency" ? [saliency, maps] : [explorer, kernel];
model.receive("error", wanted.get("error") ?? "");
const cell = document.getElementById("cell") as HTMLElement;
cell.style.width = wanted.has("width") ? `${wanted.get("width")}px` : "auto";
for (let view = 0; view < Number(wanted.get("views") ?? 1); view++) {
  const el = document.createElement("div");
  cell.append(el);
  panel.render({ model, el, host });
}
Object.assign(window, { model });
