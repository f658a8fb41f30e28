import { useEffect, useRef, useState } from "preact/hooks";
import { percent, roughly } from "../../lib/format";
import { addFiles } from "../samples/addFiles";
import { usePanel } from "../state";

/** The presets whose layers are the user's own: a pattern, a plan in a file. */
const BY_PATTERN = "pattern";
const PLAN_FILE = "plan";
/** Seconds from which on it is said beforehand what a trace takes. */
const LONG = 30;

const estimated = (solver: string, time = 0) => (time < LONG ? solver : `${solver}: about ${roughly(time)}`);

/** Which layers are pruned, and by which solver. */
export function PlanControls() {
  const panel = usePanel();
  const { presets, preset, pattern, plan, solvers, solver, sequential, estimates, code } = panel.traits;
  const [draft, setDraft] = useState<string | null>(null);
  // The pattern is being asked for: Python takes its preset only together with a pattern that matches something.
  const [asking, setAsking] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const file = useRef<HTMLInputElement>(null);
  const shown = asking ? BY_PATTERN : preset.value;
  const chosen = presets.value.find((one) => one.key === shown);
  const layers = plan.value.map(([name, sparsity]) => `${name} ${percent(sparsity, 0)} %`).join(", ");
  const about = shown === PLAN_FILE ? layers : (chosen?.description ?? "");

  useEffect(() => setDraft(null), [pattern.value]);
  // Python has taken a selection. A pattern without a match is refused: its field stays, so that it can be mended.
  useEffect(() => setAsking(false), [code.value]);
  useEffect(() => {
    if (asking) field.current?.focus();
  }, [asking]);
  const choose = (select: HTMLSelectElement) => {
    const key = select.value;
    // There is no plan yet: it is set, and its preset with it, once a file was read.
    if (key === PLAN_FILE && plan.value.length === 0) {
      select.value = shown;
      file.current?.click();
      return;
    }
    setAsking(key === BY_PATTERN && preset.value !== BY_PATTERN);
    if (key !== BY_PATTERN) panel.connection.set("preset", key);
  };
  const enter = () => {
    const names = (draft ?? pattern.value).trim();
    setDraft(null);
    if (asking && !names) return setAsking(false);
    if (names !== pattern.value) panel.connection.set("pattern", names);
    if (asking) panel.connection.set("preset", BY_PATTERN);
  };

  const second =
    shown === BY_PATTERN ? (
      <input
        ref={field}
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
      <p class="sw-secondary sw-preset-description">
        {shown === PLAN_FILE && (
          <button
            type="button"
            class="sw-button"
            title="Prune by another plan, as spade-widgets tune writes it (JSON)"
            onClick={() => file.current?.click()}
          >
            Other file…
          </button>
        )}
        <span class={shown === PLAN_FILE ? "sw-plan-layers" : undefined} title={about}>
          {about || "\u00a0"}
        </span>
      </p>
    );

  return (
    <div class="sw-plan">
      <label class="sw-label" for={panel.id("preset")}>
        layers
      </label>
      <select
        id={panel.id("preset")}
        class="sw-input"
        title={chosen?.description}
        value={shown}
        onChange={(event) => choose(event.currentTarget)}
      >
        {!chosen && <option value={shown}>{shown}</option>}
        {presets.value.map((one) => (
          <option key={one.key} value={one.key} title={one.description}>
            {one.key === PLAN_FILE ? `${one.title}…` : one.title}
          </option>
        ))}
      </select>
      <input
        ref={file}
        type="file"
        accept=".json,application/json"
        hidden
        aria-label="Plan file"
        onChange={(event) => {
          const input = event.currentTarget;
          void addFiles(panel, [...(input.files ?? [])]);
          input.value = "";
        }}
      />
      <label class="sw-label sw-solver" for={panel.id("solver")}>
        solver
      </label>
      <select
        id={panel.id("solver")}
        class="sw-input sw-solver"
        value={solver.value}
        onChange={(event) => panel.connection.set("solver", event.currentTarget.value)}
      >
        {solvers.value.map((name) => (
          <option key={name} value={name}>
            {estimated(name, estimates.value[name])}
          </option>
        ))}
      </select>
      {second}
      <button
        type="button"
        class="sw-button sw-toggle"
        aria-pressed={sequential.value}
        title="Prune block by block, each for the inputs that the pruned blocks before it give: closer to the dense prediction, several times slower"
        onClick={() => panel.connection.set("sequential", !sequential.value)}
      >
        Block by block
      </button>
    </div>
  );
}
