// A file that speaks in the place of the page's microphone: whatever the browser can decode, at the pace of speech.

const INPUT_RATE = 16000; // what the session hears
const LONGEST_FILE_S = 600;
const LARGEST_FILE = 300e6; // bytes: ten minutes of anything
const AT_ONCE = INPUT_RATE / 5; // samples in a message at most
const BEHIND_MS = 2000; // a page that was held up for longer goes on where it was, not faster

// Mono PCM16 at INPUT_RATE, and how many samples; raises a Trouble for what cannot be spoken.
async function decode(file) {
  if (!file.size) throw new Trouble("empty", file.name);
  if (file.size > LARGEST_FILE) throw new Trouble("long", file.name);
  let sound;
  try {
    const decoder = new OfflineAudioContext(1, 1, INPUT_RATE);
    sound = await decoder.decodeAudioData(await file.arrayBuffer());
  } catch (error) {
    throw new Trouble("silent", `${file.name}: ${error}`);
  }
  if (!sound.length) throw new Trouble("empty", file.name);
  if (sound.duration > LONGEST_FILE_S) throw new Trouble("long", file.name);
  const samples = new Int16Array(sound.length);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, n) => sound.getChannelData(n));
  for (let i = 0; i < samples.length; i++) {
    let value = 0;
    for (const channel of channels) value += channel[i] / channels.length;
    samples[i] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
  }
  return samples;
}

class FileSource {
  constructor(connection, microphone, onEnd) {
    this.connection = connection;
    this.microphone = microphone; // counts the captures
    this.onEnd = onEnd;
    this.on = false;
  }
  start(name, samples) {
    this.name = name;
    this.samples = samples;
    this.sent = 0;
    this.began = performance.now();
    this.on = true;
    this.announce();
    this.timer = setInterval(() => this.speak(), 20);
  }
  announce() {
    this.capture = this.microphone.nextCapture();
    this.connection.send({ k: "capture", on: true, n: this.capture, device: `file ${this.name}`.slice(0, 300), echo: null, file: true });
  }
  // What would have been said by now.
  speak() {
    const now = performance.now();
    const sentMs = (1000 * this.sent) / INPUT_RATE;
    if (now - this.began - sentMs > BEHIND_MS) this.began = now - sentMs;
    const due = Math.min(this.samples.length, Math.round(((now - this.began) / 1000) * INPUT_RATE));
    while (this.sent < due) {
      const chunk = this.samples.slice(this.sent, Math.min(due, this.sent + AT_ONCE));
      const at = this.sent;
      this.sent += chunk.length;
      const t = this.connection.kernelTime(this.began + (1000 * this.sent) / INPUT_RATE);
      this.connection.send({ k: "audio", n: this.capture, at, t, rate: INPUT_RATE }, [chunk.buffer]);
    }
    if (this.sent >= this.samples.length) {
      this.close();
      this.onEnd();
    }
  }
  get progress() {
    const clock = (samples) => {
      const seconds = Math.floor(samples / INPUT_RATE);
      return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    };
    return this.on ? `${this.name} ${clock(this.sent)} of ${clock(this.samples.length)}` : "";
  }
  close() {
    clearInterval(this.timer);
    if (this.on) this.connection.send({ k: "capture", on: false });
    this.on = false;
    this.samples = null;
  }
}
