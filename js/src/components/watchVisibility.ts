import type { PanelState } from "../state";

/** Tells Python whether anybody can see this view: what nobody sees is not worth work. Returns what ends it. */
export function watchVisibility(panel: PanelState, watched: Element = panel.root): () => void {
  let onScreen = true;
  let said: boolean | undefined;
  const say = (visible: boolean) => {
    if (visible === said) return;
    said = visible;
    panel.send({ type: "visible", view: panel.view, visible });
  };
  const look = () => say(onScreen && document.visibilityState === "visible");
  const observer = new IntersectionObserver((entries) => {
    onScreen = entries.at(-1)?.isIntersecting ?? onScreen;
    look();
  });
  observer.observe(watched);
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    observer.disconnect();
    document.removeEventListener("visibilitychange", look);
    say(false);
  };
}
