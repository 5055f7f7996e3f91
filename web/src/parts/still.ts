import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

/** A picture that has not moved for so long is told to be none: a face that stands still would deceive. */
const STILL_MS = 4_000;

/** Whether the picture in a figure stands still. */
export function useStill(figure: RefObject<HTMLElement | null>, track: MediaStreamTrack, shown: string): boolean {
  const [still, setStill] = useState(false);
  useEffect(() => {
    let frames = -1;
    let since = performance.now();
    setStill(false);
    const timer = setInterval(() => {
      const now = figure.current?.querySelector("video")?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
      if (now !== frames) since = performance.now();
      frames = now;
      setStill(performance.now() - since > STILL_MS);
    }, 1_000);
    return () => clearInterval(timer);
  }, [track, shown]);
  return still;
}
