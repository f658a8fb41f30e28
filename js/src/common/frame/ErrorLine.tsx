import { CloseIcon } from "../parts/icons";
import { usePanel } from "../state";

/**
 * One sentence about what went wrong; the panel goes on. That a panel is a saved picture is nothing wrong: its chip says
 * so. `embedded`: the panel around this one says what there is to say of the kernel.
 */
export function ErrorLine({ embedded = false }: { embedded?: boolean }) {
  const panel = usePanel();
  const gone = !embedded && !panel.connection.live.value && !panel.connection.saved;
  const text = [panel.pageError.value, panel.traits.error.value].filter(Boolean).join(" ");
  return (
    <div class="sw-errors" role="alert">
      {gone && (
        <p class="sw-error sw-gone">
          {panel.connection.lost.value
            ? "The page has lost its connection to the kernel and tries to get it back. Until then, this is what it showed last."
            : "The kernel is gone: run the cell again. Until then, this is what it showed last."}
        </p>
      )}
      {text !== "" && (
        <p class="sw-error">
          <span>{text}</span>
          <button
            type="button"
            class="sw-button sw-icon-button sw-quiet"
            aria-label="Dismiss"
            title="Dismiss"
            onClick={() => {
              if (panel.traits.error.value !== "") panel.send({ type: "dismiss" });
              panel.pageError.value = "";
            }}
          >
            <CloseIcon />
          </button>
        </p>
      )}
    </div>
  );
}
