// Messages to the session and its clock. Every time that leaves the page is in ms of the kernel's monotonic clock.

const QUIET_MS = 4000; // no answer for so long is worth a word
const ASLEEP_MS = 5000; // neither timers, messages nor sound for so long: nothing ran here

class Connection {
  constructor(model, id) {
    this.model = model;
    this.id = id;
    this.rtt = Infinity;
    this.lastRtt = 0;
    this.offset = null;
    this.pings = [];
    this.answeredAt = performance.now();
    this.sentAt = 0;
    this.waiting = 0; // since when the first of the pings that were not answered is
    this.woke = 0;
    this.awake = Date.now(); // the other clock stands still while a laptop sleeps
    this.onReceive = () => {};
    this.onWake = () => {};
    this.onOwner = () => {};
    this.onMessage = (content, buffers) => this.take(content, buffers);
    model.on("msg:custom", this.onMessage);
    this.timer = setInterval(() => this.ping(), 250);
    this.send({ k: "hello" });
    this.ping();
  }
  close() {
    clearInterval(this.timer);
    this.model.off("msg:custom", this.onMessage);
  }
  send(content, buffers = []) {
    try {
      this.model.send({ ...content, page: this.id }, undefined, buffers);
    } catch (error) {
      console.warn("workbench:", error);
    }
  }
  // Something runs here. After a sleep the two clocks have nothing to do with each other any more.
  alive() {
    const now = Date.now();
    const slept = now - this.awake;
    this.awake = now;
    if (slept < ASLEEP_MS) return;
    this.pings = [];
    this.sentAt = 0;
    this.answeredAt = this.woke = performance.now();
    this.onWake(slept);
  }
  ping() {
    this.alive();
    const now = performance.now();
    if (this.offset !== null && now - this.sentAt < 1000 && this.pings.length >= 8) return;
    if (this.sentAt <= this.answeredAt) this.waiting = now;
    this.sentAt = now;
    this.send({ k: "ping", t: now });
  }
  take(content, buffers) {
    this.alive();
    if (content.page !== undefined && content.page !== this.id) return;
    if (content.k === "pong") this.pong(content);
    else this.onReceive(content, buffers);
  }
  pong({ t, at, owner }) {
    const now = performance.now();
    this.answeredAt = now;
    if (typeof t !== "number" || typeof at !== "number" || t < this.woke) return;
    this.onOwner(owner, t);
    this.pings.push({ rtt: now - t, offset: at - (t + now) / 2 });
    if (this.pings.length > 30) this.pings.shift();
    const best = this.pings.reduce((a, b) => (b.rtt < a.rtt ? b : a));
    this.rtt = best.rtt;
    this.lastRtt = now - t;
    this.offset = best.offset;
  }
  get silentMs() {
    return performance.now() - this.answeredAt;
  }
  // Whether answers take so long that fewer messages are better.
  get jammed() {
    return this.lastRtt > 250 || (this.sentAt > this.answeredAt && performance.now() - this.waiting > 250);
  }
  get known() {
    return this.offset !== null;
  }
  kernelTime(pageMs = performance.now()) {
    return pageMs + (this.offset ?? 0);
  }
  pageTime(kernelMs) {
    return kernelMs - (this.offset ?? 0);
  }
}
