import { useEffect, useRef } from "preact/hooks";

/** A track's picture, without sound. `playsinline`: else a phone would show it over everything. */
export function Picture({ track, label, mirrored }: { track: MediaStreamTrack; label: string; mirrored?: boolean }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const { current } = video;
    if (current === null) return;
    current.srcObject = new MediaStream([track]);
    void current.play().catch(() => undefined); // a tap will start it (sound.ts tells of it)
    return () => {
      current.srcObject = null;
    };
  }, [track]);
  return <video ref={video} class={mirrored ? "mirrored" : ""} aria-label={label} muted autoPlay playsInline disablePictureInPicture />;
}
