import { useEffect, useRef } from "preact/hooks";

import { meter } from "../loudness";
import { useUi } from "./ui";

const EACH_MS = 66;

/** A bar that moves with one's voice. */
export function Level({ track }: { track: MediaStreamTrack }) {
  const { say } = useUi();
  const bar = useRef<HTMLMeterElement>(null);
  useEffect(() => {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 2_048;
    const source = context.createMediaStreamSource(new MediaStream([track]));
    source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      if (context.state === "suspended") void context.resume();
      analyser.getFloatTimeDomainData(samples);
      if (bar.current !== null) bar.current.value = meter(samples);
    }, EACH_MS);
    return () => {
      clearInterval(timer);
      source.disconnect();
      void context.close();
    };
  }, [track]);
  return <meter ref={bar} class="level" min={0} max={1} low={0.2} value={0} aria-label={say("level")} />;
}
