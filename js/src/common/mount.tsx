// Puts a panel's components on the page for one anywidget model. No state lives outside of a view.

import { type ComponentChild, render as renderTree } from "preact";
import { followTheme } from "../lib/pageTheme";
import { watchVisibility } from "./hooks/watchVisibility";
import { keepKeys } from "./keepKeys";
import { memoryOf } from "./memory";
import { type AnyModel, connect, type Host } from "./model";
import { createState, PanelContext, type PanelState } from "./state";
import type { CommonTraits } from "./wire";

export interface RenderProps {
  model: AnyModel;
  el: HTMLElement;
  /** Since anywidget 0.11. */
  host?: Host;
}

export interface PanelKind<T extends CommonTraits, M extends object> {
  /** What a trait is while Python has not set it; its keys are the traits that are followed. */
  defaults(model: AnyModel): T;
  show(panel: PanelState<T, M>): ComponentChild;
}

export function mount<T extends CommonTraits, M extends object>(
  { model, el, host }: RenderProps,
  kind: PanelKind<T, M>,
): () => void {
  const root = document.createElement("div");
  root.className = "sw-root";
  root.dir = "ltr"; // it is written in English, whatever the page around it
  el.classList.add("sw-view");
  // The Lab's context menu has no business inside the panel.
  root.dataset.jpSuppressContextMenu = "";
  const release = keepKeys(root);
  const unfollow = followTheme(root);
  el.append(root);

  const connection = connect(model, kind.defaults(model));
  const panel = createState<T, M>(connection, host, root, memoryOf(model));
  // What every panel has in common is all that the common components see of it.
  const common = panel as unknown as PanelState;
  renderTree(<PanelContext.Provider value={common}>{kind.show(panel)}</PanelContext.Provider>, root);
  const unwatch = watchVisibility(common);

  return () => {
    unwatch();
    renderTree(null, root);
    connection.dispose();
    release();
    unfollow();
    root.remove();
    el.classList.remove("sw-view");
  };
}
