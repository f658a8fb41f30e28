import { useEffect, useState } from "preact/hooks";
import { parseNeuron, readChannel } from "../../lib/neuron";
import { useNeuron } from "./state";

/** A channel by number, or by number and place: "17", "17@3,4". */
export function ChannelField() {
  const panel = useNeuron();
  const { neuron, layer, layers } = panel.traits;
  const parsed = parseNeuron(neuron.value);
  const here = parsed?.kind === "channel" && parsed.layer === layer.value ? parsed : null;
  const at = here?.position ? `@${here.position.join(",")}` : "";
  const shown = here ? `${here.channel}${at}` : "";
  const [draft, setDraft] = useState<string | null>(null);
  const [message, setMessage] = useState("");
  const hint = panel.id("channel-message");

  // Another neuron or layer chosen elsewhere: what was typed for the former one is void.
  useEffect(() => {
    setDraft(null);
    setMessage("");
  }, [neuron.value, layer.value]);

  const go = () => {
    if (draft === null || draft.trim() === "") {
      setDraft(null);
      setMessage("");
      return;
    }
    const total = layers.value.find((one) => one.name === layer.value)?.channels ?? 0;
    const read = readChannel(draft, layer.value, total);
    if ("message" in read) {
      setMessage(read.message);
      return;
    }
    setMessage("");
    setDraft(null);
    panel.connection.set("neuron", read.neuron);
  };

  return (
    <>
      <div class="sw-channel-field">
        <label class="sw-label" for={panel.id("channel")}>
          channel
        </label>
        <input
          id={panel.id("channel")}
          class="sw-input"
          type="text"
          inputMode="numeric"
          autocomplete="off"
          spellcheck={false}
          aria-invalid={message !== ""}
          aria-describedby={hint}
          placeholder="number"
          title="A channel's number, or number@row,column; Enter goes there"
          value={draft ?? shown}
          onInput={(event) => setDraft(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") go();
            if (event.key === "Escape") {
              setDraft(null);
              setMessage("");
            }
          }}
          onBlur={go}
        />
      </div>
      <p id={hint} class="sw-message" role="alert" hidden={message === ""}>
        {message}
      </p>
    </>
  );
}
