// In the audio thread of the page: cuts what the microphone gives into chunks, and plays what is due.

class CaptureProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.size = Math.round(sampleRate / 50); // 20 ms
    this.position = 0;
    this.chunk = new Int16Array(this.size);
    this.filled = 0;
    this.alive = true;
    this.port.onmessage = () => (this.alive = false);
  }
  process(inputs) {
    const input = inputs[0];
    const count = input.length ? input[0].length : 128;
    for (let i = 0; i < count; i++) {
      let value = 0;
      for (const channel of input) value += channel[i] / input.length;
      this.chunk[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
      if (this.filled === this.size) this.post();
    }
    return this.alive;
  }
  post() {
    const samples = this.chunk;
    this.port.postMessage({ samples, at: this.position }, [samples.buffer]);
    this.position += this.size;
    this.chunk = new Int16Array(this.size);
    this.filled = 0;
  }
}

// The jitter buffer. Blocks come with the frame of this context at which their first sample is to be rendered; one that
// follows on what came before is rendered after that, whatever it says. What comes too late is rendered at once.
class PlaybackProcessor extends AudioWorkletProcessor {
  constructor() {
    super();
    this.blocks = [];
    this.offset = 0; // samples of the first block that were rendered
    this.next = null; // the sample that follows on what was rendered or is there
    this.empty = false;
    this.alive = true;
    this.port.onmessage = ({ data }) => {
      if (data === "end") this.alive = false;
      else this.take(data);
    };
  }
  take(block) {
    const follows = !block.first && block.at === this.next;
    if (follows && this.empty) {
      this.port.postMessage({ underrun: true });
      block.frame = currentFrame + 0.04 * sampleRate; // a cushion against the next late one
    }
    block.follows = follows && !this.empty;
    this.empty = false;
    this.next = block.at + block.samples.length;
    this.blocks.push(block);
  }
  process(_, outputs) {
    const out = outputs[0][0];
    let i = 0;
    while (i < out.length && this.blocks.length) {
      const block = this.blocks[0];
      if (this.offset === 0) {
        if (!block.follows) {
          const wait = Math.round(block.frame) - (currentFrame + i);
          if (wait >= out.length - i) break;
          if (wait > 0) i += wait;
        }
        if (!block.follows || block.report) this.port.postMessage({ at: block.at, frame: currentFrame + i });
      }
      const count = Math.min(out.length - i, block.samples.length - this.offset);
      for (let k = 0; k < count; k++) out[i + k] = block.samples[this.offset + k] / 32768;
      i += count;
      this.offset += count;
      if (this.offset === block.samples.length) {
        this.blocks.shift();
        this.offset = 0;
        if (!this.blocks.length) this.empty = true;
      }
    }
    return this.alive;
  }
}

registerProcessor("workbench-capture", CaptureProcessor);
registerProcessor("workbench-playback", PlaybackProcessor);
