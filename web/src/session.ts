// Carries out what the page's state asks for, and tells it what happens: the one place where devices, connection and state meet.

import { Awake } from "./awake";
import { Call, picturesPossible } from "./call";
import type { Given } from "./call";
import { forgetCertificate } from "./certificate";
import { Dialler } from "./dialler";
import { tilesFor } from "./lines";
import { Watch } from "./loudness";
import type { Act, ToPage } from "./messages";
import { isOther, networkNow } from "./network";
import { OwnMedia, ask, askScreen } from "./own_media";
import type { Kind } from "./own_media";
import { BEGIN, isChecked, isObserver, isOnFloor, maySpeak, mayBeSeen, mayShowScreen, reduce } from "./page";
import type { Event, Page } from "./page";
import { troubleOf, worthTryingApart } from "./permission";
import type { Device } from "./permission";
import { deviceName, forgetSeat, join, placeOf, tokenOf } from "./seat";
import { Sound } from "./sound";
import { sign } from "./ncalayer";
import { keep, kept } from "./storage";
import { inApp } from "./webview";

const KINDS = ["microphone", "camera"] as const;

export class Session {
  page: Page = BEGIN;
  /** The pictures of others by tile. */
  pictures: MediaStreamTrack[] = [];
  readonly media = new OwnMedia(() => this.mediaChanged(), (kind, dead) => this.died(kind, dead));
  readonly sound = new Sound((locked) => this.dispatch({ e: "sound_locked", locked }));
  private readonly token = tokenOf(location.hash);
  private place = "";
  private readonly listeners = new Set<() => void>();
  private readonly awake = new Awake();
  private readonly watch = new Watch();
  private readonly dialler: Dialler<Call> = new Dialler((lost, up) => this.dial(lost, up), () => this.dispatch({ e: "lost" }));

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  dispatch(event: Event): void {
    const before = this.page;
    this.page = reduce(before, event);
    this.follow(before);
    for (const listener of this.listeners) listener();
  }

  /** Begin, or come back after a reload. */
  async open(anyway = false): Promise<void> {
    const app = inApp(navigator.userAgent, "TelegramWebviewProxy" in window);
    if (!window.isSecureContext) return this.dispatch({ e: "show", screen: "insecure" });
    if (this.token === "") return this.dispatch({ e: "show", screen: "no_link" });
    this.place = await placeOf(this.token);
    // Whoever has gone on here nevertheless is not sent away by a reload: his way back is in this browser alone.
    if (app !== "" && !anyway && kept(this.place) === null) return this.dispatch({ e: "show", screen: "in_app", app });
    if (typeof RTCPeerConnection === "undefined") return this.dispatch({ e: "show", screen: "no_webrtc" });
    this.dispatch({ e: "pictures", can: picturesPossible() });
    if (kept(this.place) === null) return this.dispatch({ e: "show", screen: "check" });
    this.connect();
    await this.reopen();
  }

  /** Open devices, each by itself where both together fail, so that nobody is silent for want of a camera. */
  async openDevices(wanted: { microphone: boolean; camera: boolean }): Promise<void> {
    const device: Device = wanted.microphone && wanted.camera ? "both" : wanted.microphone ? "microphone" : "camera";
    const before = this.page.own;
    this.dispatch({ e: "trouble", trouble: null });
    let stream: MediaStream;
    try {
      stream = await ask(wanted);
    } catch (error) {
      const what = troubleOf(error as Error, window.isSecureContext);
      if (device === "both" && worthTryingApart(what)) {
        await this.openDevices({ microphone: true, camera: false });
        const first = this.page.trouble;
        await this.openDevices({ microphone: false, camera: true });
        if (first !== null) this.dispatch({ e: "trouble", trouble: this.page.trouble === null ? first : { what, device } });
        return;
      }
      if (wanted.microphone) this.lose("microphone");
      if (wanted.camera) this.lose("camera");
      return this.dispatch({ e: "trouble", trouble: { what, device } });
    }
    if (this.page.screen === "left" || this.page.screen === "ended" || isObserver(this.page)) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    this.watch.doubt();
    // What was switched off while the browser asked stays off.
    const isOff = (kind: Kind): boolean => before[kind] !== "off" && this.page.own[kind] === "off";
    const [silent, unseen] = [isOff("microphone"), isOff("camera")];
    const on = { ...(wanted.microphone && !silent && { microphone: "on" as const }), ...(wanted.camera && !unseen && { camera: "on" as const }) };
    this.dispatch({ e: "own", own: on });
    for (const track of unseen ? stream.getVideoTracks() : []) track.stop(); // its lamp goes out
    if (wanted.microphone) {
      const track = stream.getAudioTracks()[0] ?? null;
      if (silent && track !== null) track.enabled = false;
      this.media.put("microphone", track);
    }
    if (wanted.camera && !unseen) this.media.put("camera", stream.getVideoTracks()[0] ?? null);
    this.follow(this.page);
  }

  /** Another device of a kind was chosen. One that was switched off stays off: the choice is kept for when it is switched on. */
  async changeDevice(kind: Kind): Promise<void> {
    if (this.page.own[kind] !== "off") return this.openDevices({ microphone: kind === "microphone", camera: kind === "camera" });
    this.media.put(kind, null);
  }

  async toggle(kind: Kind): Promise<void> {
    if (this.page.own[kind] !== "on") {
      if (this.media[kind]?.readyState === "live" && this.page.own[kind] === "off") return this.dispatch({ e: "own", own: { [kind]: "on" } });
      return this.openDevices({ microphone: kind === "microphone", camera: kind === "camera" });
    }
    this.dispatch({ e: "own", own: { [kind]: "off" } });
    if (kind === "camera") this.media.put("camera", null); // its lamp goes out
  }

  /** After the check, by the person's own press: this uses the link. */
  async join(): Promise<void> {
    this.dispatch({ e: "show", screen: "joining" });
    const joined = await join(this.token, deviceName());
    if ("code" in joined) return this.dispatch({ e: "refused", ...joined });
    keep(this.place, joined.resume);
    keep(`room.${this.place}`, null);
    for (const kind of KINDS) keep(`own.${kind}`, null);
    this.keepChoices();
    this.connect();
  }

  /** Go to the seat that the resume token names; without one, to the check. */
  connect(): void {
    if (kept(this.place) === null) return this.dispatch({ e: "show", screen: "check" });
    this.dispatch({ e: "dial" });
    this.dialler.start();
  }

  /** Come back after an end, with the devices that were given up then; after leaving, by the link and the check. */
  async comeBack(): Promise<void> {
    this.connect();
    if (this.page.screen === "in") await this.reopen();
  }

  leave(): void {
    this.dialler.call?.say({ m: "leave" });
    this.dispatch({ e: "leave" });
    forgetSeat(this.place); // the next one at this device is somebody else
    void forgetCertificate();
  }

  act(act: Act): void {
    this.dialler.call?.say({ m: "do", act });
  }

  /** Vouch for this page by the person's own key. */
  async sign(locale: string): Promise<void> {
    const { doubt } = this.page;
    if (doubt === null) return;
    this.dispatch({ e: "signing" });
    const signed = await sign(doubt.text, locale);
    if ("code" in signed) return this.dispatch({ e: "not_signed", code: signed.code });
    this.dialler.call?.say({ m: "signed", cms: signed.cms });
  }

  async share(): Promise<void> {
    if (this.page.own.screen !== "no") {
      this.act({ act: "share", on: false });
      return this.dispatch({ e: "own", own: { screen: "no" } });
    }
    let track: MediaStreamTrack;
    try {
      track = await askScreen();
    } catch (error) {
      // Nobody needs words for a choice that he has just cancelled himself.
      const what = troubleOf(error as Error, window.isSecureContext);
      return what === "denied" ? undefined : this.dispatch({ e: "trouble", trouble: { what, device: "screen" } });
    }
    // The browser's window may have stayed open until the hearing was over, or this person was off the floor.
    if (this.page.screen !== "in" || !isOnFloor(this.page)) return track.stop();
    track.onended = () => this.media.screen === track && void this.share(); // "Stop sharing" of the browser itself
    this.dispatch({ e: "own", own: { screen: "asked" } });
    this.media.put("screen", track);
    this.follow(this.page);
    this.act({ act: "share", on: true });
  }

  /** Look after what happens outside of the page: networks, calls, another link in the same tab. */
  attend(): void {
    let network = networkNow(navigator);
    const look = (): void => {
      const now = networkNow(navigator);
      if (isOther(network, now)) this.dialler.atOnce();
      network = now;
    };
    window.addEventListener("online", look);
    window.addEventListener("offline", look);
    (navigator as Navigator & { connection?: EventTarget }).connection?.addEventListener?.("change", look);
    window.addEventListener("hashchange", () => location.reload());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.watch.doubt());
    setInterval(() => void this.listen(), 1_000);
  }

  /** Open what was on before, and leave off what was off. */
  private async reopen(): Promise<void> {
    const wanted = { microphone: kept("own.microphone") === "on", camera: kept("own.camera") === "on" };
    for (const kind of KINDS) if (kept(`own.${kind}`) === "off") this.dispatch({ e: "own", own: { [kind]: "off" } });
    if (wanted.microphone || wanted.camera) await this.openDevices(wanted);
  }

  /** A device that has gone is asked for again the next time; one that was turned off is not. */
  private keepChoices(): void {
    for (const kind of KINDS) {
      const state = this.page.own[kind];
      if (state !== "absent") keep(`own.${kind}`, state === "off" ? "off" : "on");
    }
  }

  private dial(lost: () => void, up: () => void): Call {
    const plan = { pictures: this.page.pictures, tiles: tilesFor(screen.width, screen.height) };
    return new Call(kept(this.place) ?? "", kept(`room.${this.place}`) ?? "", plan, this.given(), {
      said: (message) => this.heard(message),
      up: () => {
        up();
        this.dispatch({ e: "up" });
        if (this.page.own.screen === "asked") this.act({ act: "share", on: true });
      },
      lost,
      doubted: (doubt) => this.dispatch({ e: "doubted", doubt }),
      vouched: (room) => keep(`room.${this.place}`, room),
      strange: () => this.dispatch({ e: "strange" }),
      tracks: (sound, pictures) => {
        this.sound.play(sound);
        this.pictures = pictures;
        for (const listener of this.listeners) listener();
      },
    });
  }

  private heard(message: ToPage): void {
    if (message.m === "welcome") keep(this.place, message.resume);
    // One that is unknown is kept: a courtroom that has just begun anew may not know it yet. A new join takes its place.
    if (message.m === "bye" && !message.again && message.code === "expired") keep(this.place, null);
    const waited = this.page.waits;
    this.dispatch({ e: "said", message });
    // The media that was offered while this device waited was taken by nobody.
    if (waited && message.m === "view") this.dialler.renew();
    if (message.m === "refused" && message.code === "no_h264") this.dialler.atOnce();
  }

  /** What follows from the state: what is sent, what is held, whether a connection stands. */
  private follow(before: Page): void {
    const { page, media } = this;
    if (media.microphone !== null) media.microphone.enabled = maySpeak(page) || page.screen === "check"; // the check's meter
    if (media.camera !== null) media.camera.enabled = mayBeSeen(page) || page.screen === "check";
    if (media.screen !== null) media.screen.enabled = mayShowScreen(page);
    const checked = isChecked(page);
    if (checked !== isChecked(before) || (checked && before.own.camera !== page.own.camera)) {
      media.readable(checked);
      this.dialler.call?.readable(checked);
    }
    if (before.own.screen !== "no" && page.own.screen === "no") media.put("screen", null);
    if (page.screen === "in" && before.own !== page.own) this.keepChoices();
    this.awake.want(page.screen === "in");
    if (before.screen === "in" && page.screen !== "in") this.dialler.stop();
    if (page.screen !== before.screen && (page.screen === "left" || page.screen === "ended")) {
      media.stop();
      this.sound.stop();
    }
    if (isObserver(page) && (media.microphone !== null || media.camera !== null)) media.stop();
  }

  private given(): Given {
    const { microphone, camera, screen: shared } = this.media;
    return { microphone, camera, screen: shared };
  }

  private mediaChanged(): void {
    this.dialler.call?.give(this.given());
    for (const listener of this.listeners) listener();
  }

  private lose(kind: Kind): void {
    this.dispatch({ e: "own", own: { [kind]: "absent" } });
    this.media.put(kind, null);
  }

  private died(kind: Kind, dead: boolean): void {
    if (kind === "camera") return dead && this.media.camera?.readyState === "ended" ? this.lose("camera") : undefined;
    const { microphone } = this.page.own;
    if (microphone === "on" || microphone === "dead") this.dispatch({ e: "own", own: { microphone: dead ? "dead" : "on" } });
  }

  private async listen(): Promise<void> {
    if (!maySpeak(this.page) || this.page.line !== "up") return this.watch.doubt();
    const energy = await this.dialler.call?.energy();
    if (energy === null || energy === undefined || this.media.microphone?.muted !== false) return;
    const dead = this.media.microphone.readyState === "ended" || this.watch.isDead(energy, performance.now());
    if (dead !== (this.page.own.microphone === "dead")) this.died("microphone", dead);
  }
}
