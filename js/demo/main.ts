// The panel outside of Jupyter: demo/index.html?theme=dark&width=760&classes=1000&views=2&error=…
import explorer from "../src/panels/explorer";
import { startFakeKernel } from "./fakeKernel";

const wanted = new URLSearchParams(location.search);
document.body.dataset.jpThemeLight = String(wanted.get("theme") !== "dark");
const model = await startFakeKernel({
  manyClasses: wanted.get("classes") === "1000",
  empty: wanted.has("empty"),
});
model.receive("error", wanted.get("error") ?? "");
const cell = document.getElementById("cell") as HTMLElement;
cell.style.width = wanted.has("width") ? `${wanted.get("width")}px` : "auto";
for (let view = 0; view < Number(wanted.get("views") ?? 1); view++) {
  const el = document.createElement("div");
  cell.append(el);
  explorer.render({ model, el });
}
Object.assign(window, { model });
