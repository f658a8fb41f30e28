const FADE_MS = 220;

/**
 * Leaves a copy of what a canvas shows above it, which fades: the next picture comes up from below. Who wants less
 * motion sees the next picture at once.
 */
export function leaveGhost(canvas: HTMLCanvasElement): void {
  const calm = window.matchMedia?.("(prefers-reduced-motion: reduce)").matches ?? true;
  if (calm || canvas.width === 0 || typeof canvas.animate !== "function") return;
  const ghost = document.createElement("canvas");
  ghost.width = canvas.width;
  ghost.height = canvas.height;
  ghost.className = "sw-ghost";
  ghost.ariaHidden = "true";
  ghost.style.transform = canvas.style.transform;
  ghost.getContext("2d")?.drawImage(canvas, 0, 0);
  canvas.parentElement?.querySelector(".sw-ghost")?.remove();
  canvas.after(ghost);
  const remove = () => ghost.remove();
  ghost
    .animate([{ opacity: 1 }, { opacity: 0 }], { duration: FADE_MS, easing: "ease-out" })
    .finished.then(remove, remove);
}
