import { useEffect, useState } from "preact/hooks";
import { usePanel } from "../state";

/** Which layers are pruned, and by which solver. */
export function PlanControls() {
  const panel = usePanel();
  const { presets, preset, pattern, solvers, solver } = panel.traits;
  const [draft, setDraft] = useState<string | null>(null);
  const chosen = presets.value.find((one) => one.key === preset.value);

  useEffect(() => setDraft(null), [pattern.value]);
  const enter = () => {
    if (draft === null) return;
    setDraft(null);
    if (draft.trim() !== pattern.value) panel.connection.set("pattern", draft.trim());
  };

  return (
    <div class="sw-plan">
      <label class="sw-label" for={panel.id("preset")}>
        layers
      </label>
      <select
        id={panel.id("preset")}
        class="sw-input"
        title={chosen?.description}
        value={preset.value}
        onChange={(event) => panel.connection.set("preset", event.currentTarget.value)}
      >
        {!chosen && <option value={preset.value}>{preset.value}</option>}
        {presets.value.map((one) => (
          <option key={one.key} value={one.key} title={one.description}>
            {one.title}
          </option>
        ))}
      </select>
      <label class="sw-label" for={panel.id("solver")}>
        solver
      </label>
      <select
        id={panel.id("solver")}
        class="sw-input"
        value={solver.value}
        onChange={(event) => panel.connection.set("solver", event.currentTarget.value)}
      >
        {solvers.value.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
      {preset.value === "pattern" ? (
        <input
          class="sw-input sw-pattern"
          type="text"
          autocomplete="off"
          spellcheck={false}
          aria-label="Layer name patterns"
          placeholder="layer4.*, fc"
          title="Names of layers, with * for anything, separated by commas; Enter sets them"
          value={draft ?? pattern.value}
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") enter();
            if (event.key === "Escape") setDraft(null);
          }}
          onBlur={enter}
        />
      ) : (
        <p class="sw-line sw-secondary sw-preset-description" title={chosen?.description}>
          {chosen?.description || "\u00a0"}
        </p>
      )}
    </div>
  );
}
