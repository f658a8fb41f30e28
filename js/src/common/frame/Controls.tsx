import type { ComponentChildren } from "preact";
import { usePanel } from "../state";

/** What asks Python for something: out of reach once there is nobody to answer. */
export function Controls({ children }: { children: ComponentChildren }) {
  const { live } = usePanel().connection;
  return (
    <div class="sw-controls" inert={!live.value}>
      {children}
    </div>
  );
}
