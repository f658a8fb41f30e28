import { useEffect } from "preact/hooks";
import { seconds } from "../../lib/format";
import { usePanel } from "../state";
import type { Status } from "../wire";

const words: Record<Status["state"], string> = {
  idle: "ready",
  working: "working",
  stopped: "stopped",
  error: "error",
};

/** What the worker is at. Its figures run; only its turns are spoken. */
export function StatusChip() {
  const panel = usePanel();
  const status = panel.traits.status.value;
  const live = panel.connection.live.value;
  const { saved } = panel.connection;
  const state = live ? status.state : saved ? "idle" : "error";
  const doing = status.text || words[status.state];
  const text = live
    ? doing + (status.about ? `, ${status.about}` : "")
    : saved
      ? "saved picture"
      : panel.connection.lost.value
        ? "no connection"
        : "kernel is gone";
  const counted = live && status.done !== null && status.of !== null && status.of > 0;
  const share = counted ? (status.done as number) / (status.of as number) : 0;

  useEffect(() => {
    panel.announcement.value = state === "working" ? "working" : text;
  }, [panel, state, text]);

  return (
    <div class="sw-chip" data-state={state}>
      <span class="sw-dot" aria-hidden="true" />
      <span class="sw-chip-text sw-line" title={text}>
        {text}
      </span>
      <span class="sw-chip-number">
        {counted ? `${Math.floor(status.done as number)} of ${status.of}` : ""}
      </span>
      <span class="sw-chip-number sw-chip-time">
        {live && (status.state === "working" || status.seconds > 0) ? seconds(status.seconds) : ""}
      </span>
      <span class="sw-progress" data-on={counted && status.state === "working"} aria-hidden="true">
        <span style={{ width: `${share * 100}%` }} />
      </span>
    </div>
  );
}
