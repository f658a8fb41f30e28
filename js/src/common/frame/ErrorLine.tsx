import { CloseIcon } from "../parts/icons";
import { usePanel } from "../state";

/** One sentence about what went wrong; the panel goes on. */
export function ErrorLine() {
  const panel = usePanel();
  const gone = !panel.connection.live.value;
  const text = [panel.pageError.value, panel.traits.error.value].filter(Boolean).join(" ");
  return (
    <div class="sw-errors" role="alert">
      {gone && (
        <p class="sw-error sw-gone">
          {panel.connection.saved
            ? "This is a saved picture of the panel, without its kernel: run the cell to work with it."
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
