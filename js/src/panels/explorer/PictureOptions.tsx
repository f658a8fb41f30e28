import { useExplorer } from "../../common/explorer/state";
import { Popover } from "../../common/parts/Popover";
import { Segments } from "../../common/parts/Segments";

const images: [string, string, string][] = [
  ["fourier", "Fourier", "Lucent's: every frequency is free"],
  ["maco", "MACO", "The samples' own mix of frequencies; only where things lie is free"],
  ["sample", "Sample", "Begins at the sample and stays near it; what doesn't matter fades"],
];
/** Steps of `near`; another value may come from Python. */
const nearness: [string, string, string][] = [
  ["0.25", "Far", "The picture may change a lot"],
  ["0.5", "Middle", "Changes about as strong as the sample itself, in an early layer"],
  ["0.75", "Near", "The picture changes little"],
];
const counts: [string, string, string][] = [
  ["1", "1", "One picture of the neuron"],
  ["4", "4", "Four pictures that are pushed apart, in four times the time"],
];

/** What is said of MACO: where its look comes from, and what that gives away. */
export function aboutMaco(samples: number): string {
  const from =
    "Frequencies as strong as in the samples: larger shapes and natural colours, no fine stripes; the neuron is excited less.";
  const alone = "There is one sample only, and its colours show in the pictures, pruned or not: add others.";
  return samples === 1 ? `${from} ${alone}` : from;
}

/** What is said of pictures that begin at the sample: what is to be read in them. */
const aboutSample =
  "Dense and trace begin at the same sample, which is in both by construction. What came to it, and where the two differ, is the neuron's. What didn't matter to it fades to grey.";

/** How the pictures are made: what is optimised, and how many of a neuron. */
export function PictureOptions() {
  const panel = useExplorer();
  const { image, count, near, samples } = panel.traits;
  const name = images.find(([key]) => key === image.value)?.[1] ?? image.value;
  const alone = image.value === "sample"; // several that begin there would come to the same
  const many = alone || count.value === 1 ? "" : ` × ${count.value}`;
  return (
    <Popover
      label={`Pictures: ${name}${many}`}
      title="How the pictures are made"
      class="sw-opens"
      button={`${name}${many}`}
    >
      {() => (
        <div class="sw-picture-options">
          <span>Image</span>
          <Segments
            label="Image"
            choices={images}
            chosen={image.value}
            onChoose={(choice) => panel.connection.set("image", choice)}
          />
          {!alone && (
            <>
              <span>Pictures</span>
              <Segments
                label="Pictures of the neuron"
                choices={counts}
                chosen={String(count.value)}
                onChoose={(choice) => panel.connection.set("count", Number(choice))}
              />
            </>
          )}
          {alone && (
            <>
              <span>Stays</span>
              <Segments
                label="How near pictures stay to the sample"
                choices={nearness}
                chosen={String(near.value)}
                onChoose={(choice) => panel.connection.set("near", Number(choice))}
              />
              <p class="sw-secondary">{aboutSample}</p>
            </>
          )}
          {image.value === "maco" && <p class="sw-secondary">{aboutMaco(samples.value.length)}</p>}
          {!alone && count.value > 1 && (
            <p class="sw-secondary">
              Pushed apart, so that each shows something else. Takes {count.value} times as long.
            </p>
          )}
        </div>
      )}
    </Popover>
  );
}
