import { usePanel } from "../state";

/** What was found of the model and is not as usual; nothing for most. */
export function Remarks() {
  const { remarks = [] } = usePanel().traits.app.value;
  return remarks.map((remark) => (
    <p key={remark} class="sw-secondary sw-remark">
      {remark}
    </p>
  ));
}
