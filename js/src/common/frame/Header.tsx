import { useEffect, useRef, useState } from "preact/hooks";
import { copyText } from "../../lib/clipboard";
import { short } from "../../lib/format";
import { ExpandIcon } from "../parts/icons";
import { usePanel } from "../state";
import { Remarks } from "./Remarks";
import { StatusChip } from "./StatusChip";

function CopyCode() {
  const panel = usePanel();
  const [copied, setCopied] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);

  const copy = async () => {
    if (!(await copyText(panel.traits.code.value, panel.root))) {
      panel.pageError.value =
        "The browser does not let the panel copy: read the code from the panel's .code in Python.";
      return;
    }
    panel.announcement.value = "The code that reproduces the screen is copied.";
    setCopied(true);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setCopied(false), 2000);
  };
  return (
    <button
      type="button"
      class="sw-button sw-copy"
      title="Copy the Python that reproduces what is on screen"
      disabled={panel.traits.code.value === ""}
      onClick={copy}
    >
      {copied ? "Copied ✓" : "Copy code"}
    </button>
  );
}

interface Parts {
  /** Something on screen was stopped on its way. */
  paused: boolean;
  /** Something is worked at that the status does not tell of. */
  busy?: boolean;
}

export function StopResume({ paused: parts, busy = false }: Parts) {
  const panel = usePanel();
  const { state } = panel.traits.status.value;
  const working = state === "working" || busy;
  const paused = !working && (state === "stopped" || parts);
  return (
    <button
      type="button"
      class="sw-button sw-stop"
      disabled={!panel.connection.live.value || (!working && !paused)}
      onClick={() => panel.send({ type: paused ? "resume" : "stop" })}
    >
      {paused ? "Resume" : "Stop"}
    </button>
  );
}

export function Expand() {
  const panel = usePanel();
  return (
    <button
      type="button"
      class="sw-button sw-icon-button"
      aria-label="Fill the screen"
      title="Fill the screen (Esc comes back)"
      onClick={() => {
        if (document.fullscreenElement) void document.exitFullscreen();
        else
          panel.root.requestFullscreen?.().catch(() => {
            panel.pageError.value = "The browser does not let the panel fill the screen.";
          });
      }}
    >
      <ExpandIcon />
    </button>
  );
}

/** What the classifier is, in a line. */
export function Summary() {
  const { title, classes, input, weights } = usePanel().traits.app.value;
  const [height, width] = input;
  const size = height === width ? `${width} px` : `${width} × ${height} px`;
  const summary = `${title} · ${classes.length} classes · ${size} · ${short(weights)} weights`;
  return (
    <p class="sw-line sw-secondary sw-summary" title={summary}>
      {title === "" ? "\u00a0" : summary}
    </p>
  );
}

export function Header({ title, ...parts }: Parts & { title: string }) {
  return (
    <>
      <div class="sw-header">
        <h2>{title}</h2>
        <Summary />
        <div class="sw-actions">
          <StatusChip />
          <StopResume {...parts} />
          <CopyCode />
          <Expand />
        </div>
      </div>
      <Remarks />
    </>
  );
}
