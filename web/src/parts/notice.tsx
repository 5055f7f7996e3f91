import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import type { Word } from "../words/en";
import { useUi } from "./ui";

interface Shown {
  heading: Word;
  hint?: string;
  children?: ComponentChildren;
}

/** A heading that takes the focus when it comes, so that a screen reader tells where one is now; not when its language changes. */
export function Heading({ word }: { word: Word }) {
  const { say } = useUi();
  const ref = useRef<HTMLHeadingElement>(null);
  useEffect(() => ref.current?.focus(), [word]);
  return <h1 ref={ref} tabIndex={-1}>{say(word)}</h1>;
}

/** A screen of few words. */
export function Notice({ heading, hint, children }: Shown) {
  return (
    <section class="notice">
      <Heading word={heading} />
      {hint !== undefined && <p>{hint}</p>}
      {children}
    </section>
  );
}

/** Copies this page's link, by whatever way the browser allows. */
export function CopyLink() {
  const { say } = useUi();
  const field = useRef<HTMLInputElement>(null);
  const told = useRef<HTMLParagraphElement>(null);
  const copy = async (): Promise<void> => {
    let copied = true;
    try {
      await navigator.clipboard.writeText(location.href);
    } catch {
      field.current?.select();
      copied = document.execCommand("copy"); // apps' own browsers often have nothing newer
    }
    if (copied && told.current !== null) told.current.textContent = say("copied");
  };
  return (
    <>
      <p><button class="main" onClick={() => void copy()}>{say("copy_link")}</button></p>
      <input ref={field} class="link" readOnly value={location.href} aria-label={say("copy_link")} onFocus={() => field.current?.select()} />
      <p role="status" ref={told} />
    </>
  );
}
