import type { PanelState } from "../state";

/**
 * Tells Python whether anybody can see this view: what nobody sees is not worth work. Python asks again (`look`) when
 * another view comes or goes, since a page that went away may not have come to say so. Returns what ends it.
 */
export function watchVisibility(panel: PanelState): () => void {
  let onScreen = document.visibilityState === "visible" ? undefined : false;
  let said: boolean | undefined;
  const say = (visible: boolean) => {
    said = visible;
    panel.send({ type: "visible", view: panel.view, visible });
  };
  const look = () => {
    if (onScreen === undefined) return; // not laid out yet
    const visible = onScreen && document.visibilityState === "visible";
    if (visible !== said) say(visible);
  };
  const observer = new IntersectionObserver((entries) => {
    onScreen = entries.at(-1)?.isIntersecting ?? onScreen;
    look();
  });
  observer.observe(panel.root);
  document.addEventListener("visibilitychange", look);
  // Leaving the page fires no `visibilitychange` that could still be heard in every browser; one that is kept in the
  // back/forward cache comes back.
  const leave = () => said && say(false);
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", look);
  const forget = panel.connection.onMessage((message) => {
    if ((message as { type?: unknown }).type === "look" && said) say(true);
  });
  look();
  return () => {
    forget();
    observer.disconnect();
    document.removeEventListener("visibilitychange", look);
    window.removeEventListener("pagehide", leave);
    window.removeEventListener("pageshow", look);
    if (said) say(false);
  };
}
