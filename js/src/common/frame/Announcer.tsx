import { usePanel } from "../state";

/** What is said to those who listen. */
export function Announcer() {
  return (
    <div class="sw-hidden" role="status" aria-live="polite">
      {usePanel().announcement}
    </div>
  );
}
