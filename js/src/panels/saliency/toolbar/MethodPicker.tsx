import { useRef } from "preact/hooks";
import { Popover } from "../../../common/parts/Popover";
import { useSaliency } from "../state";

/** Which methods are the columns: each with what it does, in a sentence. */
export function MethodPicker() {
  const panel = useSaliency();
  const { all_methods, methods } = panel.traits;
  const list = useRef<HTMLDivElement>(null);
  const chosen = methods.value;

  const toggle = (key: string, on: boolean) =>
    panel.connection.set("methods", on ? [...chosen, key] : chosen.filter((one) => one !== key));
  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const boxes = [...(list.current?.querySelectorAll<HTMLInputElement>("input") ?? [])];
    const at = boxes.indexOf(event.target as HTMLInputElement);
    boxes[(at + step + boxes.length) % boxes.length]?.focus();
  };

  return (
    <Popover
      label={`Methods: ${chosen.length} of ${all_methods.value.length} chosen`}
      class="sw-opens"
      button={
        <>
          Methods{" "}
          <span class="sw-secondary">
            {chosen.length} of {all_methods.value.length}
          </span>
        </>
      }
    >
      {() => (
        <div class="sw-methods" role="group" aria-label="Methods" ref={list} onKeyDown={move}>
          {all_methods.value.map((method) => {
            const on = chosen.includes(method.key);
            const only = on && chosen.length === 1;
            return (
              <label key={method.key} title={only ? "At least one method stays" : undefined}>
                <input
                  type="checkbox"
                  checked={on}
                  aria-disabled={only}
                  aria-describedby={panel.id(`method-${method.key}`)}
                  onClick={(event) => only && event.preventDefault()}
                  onChange={(event) => toggle(method.key, event.currentTarget.checked)}
                />
                <span class="sw-method-title">
                  {method.title}
                  {method.slow && <span class="sw-slow">slow</span>}
                </span>
                <span class="sw-secondary" id={panel.id(`method-${method.key}`)}>
                  {method.description}
                </span>
              </label>
            );
          })}
        </div>
      )}
    </Popover>
  );
}
