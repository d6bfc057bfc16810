// The jitter buffer where no code of ours runs in the audio thread: a page that is not secure has no AudioWorklet. It
// takes and reports what PlaybackProcessor in audio_worklet.js does, by the same rules, but schedules each block when it comes.

const CUSHION_S = 0.04; // against the next late block
const AHEAD_S = 0.01; // the audio thread renders some quanta at a time: what is to begin sooner would begin late

class ScheduledPlayback {
  constructor(context) {
    this.context = context;
    this.out = context.createGain();
    this.next = null; // the sample that follows on what was taken
    this.end = 0; // the frame after the last one that is scheduled
    this.port = { postMessage: (data) => (data === "end" ? this.out.disconnect() : this.take(data)), onmessage: () => {} };
  }
  connect(to) {
    this.out.connect(to);
  }
  get frame() {
    return Math.round(this.context.currentTime * this.context.sampleRate);
  }
  take(block) {
    const rate = this.context.sampleRate;
    const soonest = this.frame + AHEAD_S * rate;
    const follows = !block.first && block.at === this.next;
    const underrun = follows && this.end < soonest;
    if (underrun) {
      this.port.onmessage({ data: { underrun: true } });
      block.frame = this.frame + CUSHION_S * rate;
    }
    const continues = follows && !underrun;
    const frame = continues ? this.end : Math.max(Math.round(block.frame), this.end, soonest);
    this.next = block.at + block.samples.length;
    this.end = frame + block.samples.length;
    const source = this.sourceOf(block.samples);
    const report = { at: block.at, frame };
    if (!continues || block.report) source.onended = () => this.port.onmessage({ data: report }); // only what was rendered ends
    source.start(frame / rate);
  }
  sourceOf(samples) {
    const sound = this.context.createBuffer(1, samples.length, this.context.sampleRate);
    sound.copyToChannel(Float32Array.from(samples, (sample) => sample / 32768), 0);
    const source = this.context.createBufferSource();
    source.buffer = sound;
    source.connect(this.out);
    return source;
  }
}
