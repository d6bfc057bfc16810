// The widget: a page (one for each model and tab) with its sound, and views of it.

const pages = new Map();
const NOTICE_MS = 30000; // how long a notice about what is over stays
const KERNEL_ENDED = "the kernel ended"; // what the session says of it

class Page {
  constructor(model) {
    this.model = model;
    this.id = Math.random().toString(36).slice(2) + Date.now().toString(36);
    this.views = new Set();
    this.trouble = null;
    this.connection = new Connection(model, this.id);
    this.connection.onReceive = (content, buffers) => this.take(content, buffers);
    this.connection.onWake = (ms) => this.wokeUp(ms);
    this.connection.onOwner = (owner, sentAt) => owner === "" && sentAt > this.claimedAt && this.reclaim();
    this.microphone = new Microphone(this.connection, (trouble) => this.fail(trouble));
    this.file = new FileSource(this.connection, this.microphone, () => this.fileEnded());
    this.speaker = null;
    this.talking = false;
    this.request = null; // the last press of Talk, or file that was chosen, until Stop
    this.claimedAt = Infinity;
    this.slept = null;
    this.onOwner = () => this.ownerChanged();
    model.on("change:owner", this.onOwner);
    this.onHide = (event) => !event.persisted && this.close(false);
    window.addEventListener("pagehide", this.onHide);
    this.timer = setInterval(() => this.look(), 1000);
    this.watchKernel();
    if (this.status.browser && model.get("fresh")) this.greet();
  }
  get status() {
    return this.model.get("status");
  }
  get taken() {
    const owner = this.model.get("owner");
    return owner !== "" && owner !== this.id;
  }
  // `stays`: the widget is taken away, and the page is still there.
  close(stays) {
    if (this.closed) return;
    this.closed = true;
    this.connection.send({ k: "close", stays }); // first: the capture ends because the page does
    this.silence();
    clearInterval(this.timer);
    window.removeEventListener("pagehide", this.onHide);
    this.model.off("change:owner", this.onOwner);
    this.leaveKernel();
    this.connection.close();
  }
  // JupyterLab and Notebook 7 say what the kernel does; elsewhere its silence must do.
  watchKernel() {
    const changed = this.model.widget_manager?.kernel?.statusChanged;
    const onStatus = (_, status) => {
      if (!["restarting", "autorestarting", "dead", "terminating"].includes(status)) return;
      this.gone = status === "dead" || status === "terminating" ? "the kernel has ended" : "the kernel was restarted";
      this.silence();
      for (const view of this.views) view.rest();
    };
    changed?.connect(onStatus);
    this.leaveKernel = () => changed?.disconnect(onStatus);
  }
  draw() {
    for (const view of this.views) view.header();
  }
  verb(name, more = {}) {
    this.connection.send({ k: name, ...more });
  }

  // --- sound

  // The cell was run by a hand in this page, so the browser may let it speak: the greeting is heard.
  async greet() {
    if (!navigator.userActivation?.hasBeenActive || this.taken || !this.status.speaks) return;
    try {
      await this.openSpeaker();
    } catch (error) {
      if (error.code !== "asleep" || !this.talking) this.complain(error);
    }
    this.draw();
  }
  async openSpeaker() {
    if (this.speaker || !this.status.speaks) return;
    this.claim();
    const speaker = (this.speaker = new Speaker(this.connection));
    try {
      const runs = await speaker.open(this.output);
      if (this.speaker === speaker && !runs) throw new Trouble("asleep");
    } catch (error) {
      if (this.speaker !== speaker) return; // closed meanwhile
      if (error.code !== "asleep") this.speaker = speaker.close() ?? null; // else Talk wakes it
      throw error instanceof Trouble ? error : new Trouble("speaker", String(error));
    }
  }
  async talk() {
    if (this.talking) {
      this.silence();
      this.connection.send({ k: "release" });
      this.draw();
      return;
    }
    this.trouble = null;
    this.talking = true;
    const request = (this.request = {});
    this.draw();
    try {
      this.claim();
      await this.openSpeaker();
      if (this.request === request) await this.speaker?.context.resume();
      if (this.request === request && this.status.hears) await this.listen();
    } catch (error) {
      if (this.request === request) this.fail(error);
    }
    this.draw();
  }
  async listen() {
    const open = await this.microphone.open({ device: this.device, echo: this.status.echo_wanted });
    if (open) this.device = this.microphone.device ?? this.device;
  }
  // A file speaks in the place of the microphone, which takes over again when it has ended, if it was on.
  async playFile(file) {
    this.trouble = null;
    try {
      const samples = await decode(file);
      if (this.closed) return;
      const after = this.file.on ? this.file.after : this.talking;
      const request = (this.request = {});
      this.microphone.close();
      this.file.close();
      this.file.after = after;
      this.talking = true;
      this.claim();
      await this.openSpeaker().catch((error) => console.warn("workbench:", error)); // its answer can be read
      if (this.request === request) this.file.start(file.name, samples);
    } catch (error) {
      this.trouble = error instanceof Trouble ? error : new Trouble("silent", String(error));
    }
    this.draw();
  }
  async fileEnded() {
    const after = this.file.after;
    this.file.after = false;
    try {
      if (after) await this.listen();
      else this.talking = false;
    } catch (error) {
      this.fail(error);
    }
    this.draw();
  }
  claim() {
    this.claimedAt = performance.now();
    this.connection.send({ k: "claim" });
  }
  // The session took this page for gone: it slept, or the connection was lost for long.
  reclaim() {
    if (!this.talking && !this.speaker) return;
    this.claim();
    if (this.speaker?.running) this.connection.send({ k: "play", on: true });
    this.announce();
  }
  announce() {
    if (this.microphone.on) this.microphone.announce();
    if (this.file.on) this.file.announce();
  }
  wokeUp(ms) {
    this.slept = { seconds: Math.round(ms / 1000), shownUntil: performance.now() + NOTICE_MS };
    this.speaker?.wake();
    this.announce();
  }
  // The microphone cannot go on.
  fail(error) {
    this.talking = this.file.on;
    this.microphone.close();
    this.complain(error);
  }
  complain(error) {
    const trouble = error instanceof Trouble ? error : new Trouble("broken", String(error));
    this.trouble = trouble;
    this.connection.send({ k: "trouble", code: trouble.code, detail: trouble.detail.slice(0, 300) });
    this.draw();
  }
  silence() {
    this.request = null;
    this.talking = false;
    this.microphone.close();
    this.file.after = false;
    this.file.close();
    this.speaker?.close();
    this.speaker = null;
  }
  ownerChanged() {
    if (this.taken && (this.talking || this.speaker)) this.silence();
    this.draw();
  }
  async useMicrophone(id) {
    this.device = id;
    if (!this.microphone.opening) return;
    try {
      await this.listen();
    } catch (error) {
      this.fail(error);
    }
  }
  async useSpeaker(id) {
    try {
      await this.speaker?.use(id);
      this.output = id;
      if (this.trouble?.code === "speaker") this.trouble = null;
      this.draw();
    } catch (error) {
      this.complain(new Trouble("speaker", String(error)));
    }
  }
  async listDevices() {
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    const kind = (name) => all.filter((device) => device.kind === name);
    return { inputs: kind("audioinput"), outputs: this.speaker?.context?.setSinkId ? kind("audiooutput") : [] };
  }
  take(content, buffers) {
    if (content.k !== "audio" || !this.speaker || !buffers?.length) return;
    const bytes = buffers[0];
    const samples = new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    this.speaker.play(content, samples);
  }

  // --- once a second

  look() {
    if (this.slept && performance.now() > this.slept.shownUntil) this.slept = null;
    for (const view of this.views) {
      view.say();
      view.network();
    }
  }
  // What stands in the way, in words, what to do, and whether a file may speak instead.
  notice() {
    const again = "run the cell again; live(agent, resume=True) takes up the conversation where it was";
    if (this.gone) return [this.gone, again];
    if (this.status.ended === KERNEL_ENDED) return ["the kernel was restarted or has ended", again];
    if (this.status.ended) return null;
    const silent = this.connection.silentMs;
    if (silent > 30000) return ["the kernel has not answered for " + Math.round(silent / 1000) + " s", `it is busy, was restarted, or the connection is lost; if it does not come back, ${again}`];
    if (silent > QUIET_MS) return ["the kernel does not answer", this.talking ? "it is busy, or the connection is lost; what you say is kept and heard later" : "it is busy, or the connection is lost"];
    if (this.trouble) return [...TROUBLES[this.trouble.code], MICROPHONE_TROUBLES.includes(this.trouble.code)];
    if (this.slept) return [`this page was asleep for ${this.slept.seconds} s`, "what was said meanwhile may not have been heard; it goes on"];
    return null;
  }
}

function render({ model, el }) {
  const key = model.get("ident");
  if (!pages.has(key)) pages.set(key, new Page(model));
  const page = pages.get(key);
  const view = new View(model, el, page);
  page.views.add(view);
  view.header();
  return () => {
    view.close();
    page.views.delete(view);
    if (!page.views.size) {
      pages.delete(key);
      page.close(true);
    }
  };
}

export default { render };
