import { useRef } from "preact/hooks";

import { useUi } from "./ui";

/** The way out, with a question before it. */
export function Leave() {
  const { session, say } = useUi();
  const dialog = useRef<HTMLDialogElement>(null);
  const ask = (): void => {
    // Phones before iOS 15.4 know no dialogs.
    if (typeof dialog.current?.showModal === "function") dialog.current.showModal();
    else if (window.confirm(say("leave_ask"))) session.leave();
  };
  return (
    <>
      <button class="leave" onClick={ask}>{say("leave")}</button>
      <dialog ref={dialog} aria-labelledby="leave-ask">
        <h2 id="leave-ask">{say("leave_ask")}</h2>
        <p>{say("leave_hint")}</p>
        <p class="buttons">
          <button onClick={() => dialog.current?.close()}>{say("leave_no")}</button>
          <button class="leave" onClick={() => session.leave()}>{say("leave_yes")}</button>
        </p>
      </dialog>
    </>
  );
}
