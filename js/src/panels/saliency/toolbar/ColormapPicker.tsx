import { Popover } from "../../../common/parts/Popover";
import { TileGrid } from "../../../common/parts/TileGrid";
import { colormap, colormapKeys, gradient } from "../../../lib/colormaps";
import { useSaliency } from "../state";

interface Choice {
  key: string;
  title: string;
  note: string;
  background: string;
}

function choices(): Choice[] {
  const known = colormapKeys.flatMap((key) => colormap(key) ?? []);
  const all = known.map((map) => ({
    key: map.key,
    title: map.title,
    note: map.kind,
    background: gradient(map),
  }));
  const find = (key: string) => all.find((one) => one.key === key)?.background ?? "";
  const both = `${find("rdbu")} 0 0 / 50% 100% no-repeat, ${find("inferno")} 100% 0 / 50% 100% no-repeat`;
  return [{ key: "auto", title: "Automatic", note: "diverging where signed", background: both }, ...all];
}

/** The colours of the maps, shown as they are. */
export function ColormapPicker() {
  const panel = useSaliency();
  const chosen = panel.look.value.colormap;
  const all = choices();
  const current = all.find((one) => one.key === chosen) ?? all[0];
  return (
    <Popover
      label={`Colour map: ${current?.title}`}
      title="Colour map"
      class="sw-opens"
      button={
        <>
          <span class="sw-swatch" style={{ background: current?.background }} />
          <span class="sw-colormap-name">{current?.title}</span>
        </>
      }
    >
      {() => (
        <TileGrid
          label="Colour map"
          class="sw-colormaps"
          items={all}
          keyOf={(one) => one.key}
          selected={current?.key ?? null}
          titleOf={(one) => `${one.title}, ${one.note}`}
          onSelect={(one) => panel.connection.set("colormap", one.key)}
        >
          {(one) => (
            <>
              <span class="sw-swatch" style={{ background: one.background }} />
              <span>{one.title}</span>
              <span class="sw-secondary">{one.note}</span>
            </>
          )}
        </TileGrid>
      )}
    </Popover>
  );
}
