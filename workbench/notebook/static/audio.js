// Microphone and speaker of the page.

const OUTPUT_RATE = 24000;
const MOST_MS = 400; // of delay that the session grants
const STALL_MS = 95; // what late blocks are granted at least: a page that collects its garbage stands still for 60–80
const JAMMED = 5; // chunks of 20 ms in a message while messages pile up: each costs the server three

async function withWorklet(context) {
  if (!context.audioWorklet) throw new Trouble(window.isSecureContext ? "old" : "insecure");
  const url = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
  try {
    await context.audioWorklet.addModule(url);
  } catch (error) {
    throw new Trouble("worklet", String(error));
  } finally {
    URL.revokeObjectURL(url);
  }
}

// What can stand in the way, and what to do about it. `MICROPHONE_TROUBLES` offers a file in its place.
const ALTERNATIVES = "or type, or let a file speak";
const TROUBLES = {
  insecure: [
    "this page is not secure, so the browser gives it no microphone",
    `open JupyterLab by https or on localhost (ssh -L 8888:localhost:8888); ${ALTERNATIVES}`,
  ],
  denied: [
    "the browser was told to give this page no microphone",
    `allow it at the lock in the address bar and press Talk again; ${ALTERNATIVES}`,
  ],
  blocked: [
    "this page is in a frame that may not use a microphone",
    `open the notebook in a tab of its own, in JupyterLab or Notebook 7; ${ALTERNATIVES}`,
  ],
  none: ["there is no microphone", `plug one in and press Talk again; ${ALTERNATIVES}`],
  busy: ["the microphone is in use by something else, or broken", `close what uses it and press Talk again; ${ALTERNATIVES}`],
  old: ["this browser has no AudioWorklet", `use a newer one; ${ALTERNATIVES}`],
  worklet: ["this page may not run audio code", `open the notebook in JupyterLab; ${ALTERNATIVES}`],
  ended: ["the microphone was unplugged or taken away", `plug it in and press Talk again; ${ALTERNATIVES}`],
  speaker: ["this speaker cannot be used", "choose another one"],
  broken: ["something in this page's program failed", "reload the page; what was said is kept"],
  asleep: ["the browser holds its sound back", "press Talk"],
  silent: ["this file is no audio that the browser can decode", "wav, mp3, ogg, m4a and flac are; choose another one"],
  empty: ["there is no sound in this file", "choose another one"],
  long: ["this file is longer than 10 minutes, or larger than 300 MB", "cut it, or live(agent, source='long.wav')"],
};
const MICROPHONE_TROUBLES = ["insecure", "denied", "blocked", "none", "busy", "old", "worklet", "ended", "silent", "empty", "long"];

class Trouble extends Error {
  constructor(code, detail = "") {
    super(TROUBLES[code][0]);
    this.code = code;
    this.detail = detail;
  }
}

function toTrouble(error) {
  if (error instanceof Trouble) return error;
  const policy = document.featurePolicy; // Chromium's; elsewhere a frame is likelier than a user's no
  const inFrame = window.self !== window.top && !policy?.allowsFeature("microphone");
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new Trouble(inFrame ? "blocked" : "denied", error.message);
    case "NotFoundError":
    case "OverconstrainedError":
      return new Trouble("none", error.message);
    default:
      return new Trouble("busy", `${error.name}: ${error.message}`);
  }
}

class Microphone {
  constructor(connection, onTrouble) {
    this.connection = connection;
    this.onTrouble = onTrouble;
    this.on = false;
    this.capture = 0;
    this.opening = null; // the last call of open, until it is closed
    this.held = [];
  }
  // Whether it is open afterwards: not where it was closed, or opened anew, while the browser was at it.
  async open({ device, echo }) {
    if (!window.isSecureContext || !navigator.mediaDevices) throw new Trouble("insecure");
    this.close();
    const attempt = (this.opening = {});
    const stale = () => this.opening !== attempt;
    const capture = {};
    try {
      capture.stream = await navigator.mediaDevices.getUserMedia({
        audio: {
          echoCancellation: echo,
          noiseSuppression: false,
          autoGainControl: false,
          channelCount: 1,
          ...(device ? { deviceId: { exact: device } } : {}),
        },
      });
      capture.stream.getAudioTracks()[0].onended = () => stale() || this.lost();
      if (!stale()) {
        capture.context = new AudioContext({ latencyHint: "interactive" });
        await withWorklet(capture.context);
      }
      if (!stale() && capture.context.state !== "running") await Promise.race([capture.context.resume(), pause(1500)]);
      if (!stale()) {
        capture.node = new AudioWorkletNode(capture.context, "workbench-capture", { numberOfOutputs: 0 });
        capture.source = capture.context.createMediaStreamSource(capture.stream);
      }
    } catch (error) {
      releaseCapture(capture);
      if (stale()) return false;
      this.opening = null;
      throw toTrouble(error);
    }
    if (stale()) {
      releaseCapture(capture);
      return false;
    }
    Object.assign(this, capture);
    this.start(capture.stream.getAudioTracks()[0]);
    return true;
  }
  start(track) {
    const settings = track.getSettings();
    this.latencyMs = 1000 * (settings.latency || 0);
    this.name = track.label || "microphone";
    this.device = settings.deviceId;
    const cancelled = settings.echoCancellation;
    this.echo = cancelled === undefined ? null : cancelled !== false && cancelled !== "none";
    this.announce();
    this.node.port.onmessage = ({ data }) => this.send(data);
    this.source.connect(this.node);
    this.on = true;
  }
  nextCapture() {
    this.capture += 1;
    this.held = [];
    return this.capture;
  }
  // A capture begins: the session dates what comes anew.
  announce() {
    this.nextCapture();
    this.connection.send({ k: "capture", on: true, n: this.capture, device: this.name.slice(0, 300), echo: this.echo });
  }
  send({ samples, at }) {
    if (!this.context) return; // closed meanwhile
    this.connection.alive();
    this.held.push(samples);
    if (this.held.length < (this.connection.jammed ? JAMMED : 1)) return;
    const all = new Int16Array(this.held.reduce((sum, samples) => sum + samples.length, 0));
    let end = 0;
    for (const samples of this.held) {
      all.set(samples, end);
      end += samples.length;
    }
    this.held = [];
    const t = this.connection.kernelTime() - this.latencyMs;
    const start = at + samples.length - all.length;
    this.connection.send({ k: "audio", n: this.capture, at: start, t, rate: this.context.sampleRate }, [all.buffer]);
  }
  lost() {
    this.close();
    this.onTrouble(new Trouble("ended"));
  }
  close() {
    this.opening = null;
    releaseCapture(this);
    this.node = this.source = this.stream = this.context = null;
    if (this.on) this.connection.send({ k: "capture", on: false });
    this.on = false;
  }
}

// Nothing of a capture stays open.
function releaseCapture({ node, source, stream, context }) {
  node?.port.postMessage("end");
  source?.disconnect();
  stream?.getTracks().forEach((track) => ((track.onended = null), track.stop()));
  context?.close().catch(() => {});
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// What plays: in the audio thread, or scheduled from here where nothing of ours can run there.
async function openPlayback(context) {
  try {
    await withWorklet(context);
  } catch (error) {
    console.warn(`workbench: no AudioWorklet (${error.code}) ${error.detail}`);
    return new ScheduledPlayback(context);
  }
  return new AudioWorkletNode(context, "workbench-playback", { numberOfInputs: 0, outputChannelCount: [1] });
}

class Speaker {
  constructor(connection) {
    this.connection = connection;
    this.on = false;
    this.delays = []; // ms from when blocks were to be pulled until they were here, the last half minute
    this.extraMs = 0; // more buffer after it ran dry; it wears off
    this.shift = []; // ms between the context's clock and the page's
    this.underruns = 0;
    this.blocks = 0;
  }
  // Whether it runs; not where it was closed meanwhile.
  async open(device) {
    if (!window.AudioContext) throw new Trouble("old");
    const context = (this.context = new AudioContext({ sampleRate: OUTPUT_RATE, latencyHint: "interactive" }));
    const node = await openPlayback(context);
    if (device && context.setSinkId) await context.setSinkId(device).catch(() => {});
    if (this.context !== context) return false;
    this.node = node;
    this.node.port.onmessage = ({ data }) => this.report(data);
    this.node.connect(context.destination);
    if (context.state !== "running") await Promise.race([context.resume(), pause(1500)]);
    if (this.context !== context) return false;
    context.onstatechange = () => this.state();
    this.timer = setInterval(() => this.measure(), 250);
    this.state();
    return this.running;
  }
  get running() {
    return this.context?.state === "running";
  }
  state() {
    if (this.running === this.on) return;
    this.on = this.running;
    this.connection.send({ k: "play", on: this.on });
  }
  // After a sleep nothing that was measured holds.
  wake() {
    this.shift = [];
    this.delays = [];
    this.context?.resume();
  }
  async use(device) {
    if (this.context?.setSinkId) await this.context.setSinkId(device);
  }
  // When the context's frame leaves the speaker, ms of the page's clock: the browser's own word, smoothed.
  stamp() {
    const output = this.context.getOutputTimestamp?.() ?? {};
    const now = performance.now();
    const fallback = now - 1000 * this.context.currentTime + 1000 * (this.context.outputLatency || this.context.baseLatency || 0);
    const known = output.contextTime > 0 && output.performanceTime > 0;
    const shift = known ? output.performanceTime - 1000 * output.contextTime : fallback;
    this.shift.push(shift);
    if (this.shift.length > 20) this.shift.shift();
  }
  get shiftMs() {
    if (!this.shift.length) this.stamp();
    const sorted = [...this.shift].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }
  // How far ahead of the ear the context renders, ms.
  get outputMs() {
    return Math.max(0, this.shiftMs + 1000 * this.context.currentTime - performance.now());
  }
  play(sound, samples) {
    if (!this.node) return;
    const late = this.connection.kernelTime() - sound.pulled;
    this.delays.push(late);
    if (this.delays.length > 1500) this.delays.shift();
    this.blocks += 1;
    if (sound.first) this.stamp();
    const frame = ((this.connection.pageTime(sound.due) - this.shiftMs) / 1000) * OUTPUT_RATE;
    this.node.port.postMessage(
      { samples, at: sound.at, first: sound.first, frame, report: this.blocks % 50 === 0 },
      [samples.buffer],
    );
  }
  report(data) {
    if (!this.context) return;
    if (data.underrun) {
      this.underruns += 1;
      this.extraMs = Math.min(200, this.extraMs + 40);
      return;
    }
    const at = this.connection.kernelTime((data.frame / OUTPUT_RATE) * 1000 + this.shiftMs);
    this.connection.send({ k: "played", at: data.at, t: at });
  }
  measure() {
    if (!this.running || !this.connection.known) return;
    this.stamp();
    this.extraMs = Math.max(0, this.extraMs - 0.5);
    const sorted = [...this.delays].sort((a, b) => a - b);
    const part = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    const network = sorted.length ? part(0.5) : this.connection.rtt / 2;
    const worst = sorted.length ? part(0.995) + 25 : this.connection.rtt;
    this.totalMs = Math.min(MOST_MS, this.outputMs + Math.max(STALL_MS, worst) + this.extraMs);
    this.bufferMs = Math.max(0, this.totalMs - this.outputMs - network);
    this.connection.send({ k: "delays", network, output: this.outputMs, total: this.totalMs, underruns: this.underruns });
  }
  close() {
    clearInterval(this.timer);
    if (this.node) this.node.port.postMessage("end");
    if (this.context) {
      this.context.onstatechange = null;
      this.context.close().catch(() => {});
    }
    this.node = this.context = null;
    if (this.on) this.connection.send({ k: "play", on: false });
    this.on = false;
  }
}
