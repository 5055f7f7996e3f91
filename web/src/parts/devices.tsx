import { useEffect, useRef, useState } from "preact/hooks";

import { choose } from "../own_media";
import type { Kind } from "../own_media";
import { kept } from "../storage";
import { toneWav } from "../tone";
import { useUi } from "./ui";

type Any = Kind | "speaker";
const KINDS: Record<Any, MediaDeviceKind> = { microphone: "audioinput", camera: "videoinput", speaker: "audiooutput" };

/** Which microphone, camera and loudspeaker; each only where there is a choice. `folded`: out of the way until it is opened. */
export function Devices({ folded }: { folded?: boolean }) {
  const { session, say } = useUi();
  const [all, setAll] = useState<MediaDeviceInfo[]>([]);
  const { microphone, camera } = session.media;
  useEffect(() => {
    const devices = navigator.mediaDevices as MediaDevices | undefined; // apps' own browsers may have none
    const look = (): void => void devices?.enumerateDevices().then(setAll, () => undefined);
    look();
    devices?.addEventListener("devicechange", look);
    return () => devices?.removeEventListener("devicechange", look);
  }, [microphone, camera]);

  const pick = (kind: Any, id: string): void => {
    choose(kind, id);
    if (kind === "speaker") void session.sound.choose(id);
    else void session.changeDevice(kind);
  };
  const now = (kind: Any, found: MediaDeviceInfo[]): string | undefined => {
    const id = kind === "speaker" ? kept("speaker") : session.media[kind]?.getSettings().deviceId;
    return found.some((one) => one.deviceId === id) ? (id ?? undefined) : found[0]?.deviceId;
  };
  const lists = (Object.keys(KINDS) as Any[]).flatMap((kind) => {
    const found = all.filter((one) => one.kind === KINDS[kind] && one.deviceId !== "");
    const possible = kind !== "speaker" || "setSinkId" in HTMLMediaElement.prototype;
    return found.length > 1 && possible ? [{ kind, found }] : [];
  });
  if (lists.length === 0) return null;
  const choices = (
    <div class="devices">
      {lists.map(({ kind, found }) => (
        <label key={kind}>
          {say(kind)}
          <select value={now(kind, found)} onChange={(event) => pick(kind, event.currentTarget.value)}>
            {found.map((one, number) => (
              <option key={one.deviceId} value={one.deviceId}>
                {one.label || say("device_numbered", { device: say(kind), number: String(number + 1) })}
              </option>
            ))}
          </select>
        </label>
      ))}
    </div>
  );
  return folded ? <details><summary>{say("devices")}</summary>{choices}</details> : choices;
}

/** Plays the tone by the chosen loudspeaker. */
export function TestTone() {
  const { say } = useUi();
  const element = useRef<HTMLAudioElement>(null);
  const [address, setAddress] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([toneWav()], { type: "audio/wav" }));
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, []);
  const play = async (): Promise<void> => {
    const { current } = element;
    if (current === null) return;
    const speaker = kept("speaker") ?? "";
    try {
      await (current as HTMLMediaElement & { setSinkId?: (id: string) => Promise<void> }).setSinkId?.(speaker);
    } catch {
      // unplugged: the usual one plays
    }
    current.currentTime = 0;
    await current.play().catch(() => undefined);
  };
  return (
    <p class="buttons">
      <button onClick={() => void play()}>{say("tone")}</button>
      {address !== "" && <audio ref={element} src={address} preload="auto" hidden />}
    </p>
  );
}
