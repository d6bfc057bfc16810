// What is seen. Everything that was said or written comes in as text nodes, never as markup.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const ms = (value) => (value === null || value === undefined ? "–" : `${Math.round(value)}\u00a0ms`);

const REST = [-120, -120, -120, -120]; // dB

const ACTIVITIES = {
  starting: "starting …",
  listening: "listening",
  hearing: "hears you",
  thinking: "thinking",
  speaking: "speaking",
  muted: "muted",
  ended: "ended",
};

class View {
  constructor(model, el, page) {
    this.model = model;
    this.page = page;
    this.holding = false; // "Hold to talk"
    this.build(el);
    this.seen = {};
    this.handlers = {
      activity: () => this.rest(),
      status: () => this.header(),
      muted: () => this.header(),
      lines: () => this.conversation(),
      levels: () => this.meters(),
      waterfall: () => this.drawWaterfall(),
      latency: () => this.plot(),
      knobs: () => this.sliders(),
      tools: () => this.toolCalls(),
      panels: () => this.panels.show(),
    };
    for (const [name, draw] of Object.entries(this.handlers)) {
      model.on(`change:${name}`, draw);
      draw();
    }
    this.header(); // what it disables is there now
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.plotBox);
    this.themed = new MutationObserver(() => this.repaint());
    this.themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "class"] });
  }

  build(el) {
    const button = (name, label, title, action) => make("button", { class: `wb-${name}`, title, onclick: action }, label);
    const page = this.page;
    this.dot = make("span", { class: "wb-dot" });
    this.activity = make("span", { class: "wb-activity", role: "status" });
    this.about = make("span", { class: "wb-about" });
    this.talk = button("talk", "Talk", "Use this page's microphone and speaker", () => page.talk());
    this.mute = button("mute", "Mute", "Stop listening, or listen again", () => page.verb("mute", { on: !this.model.get("muted") }));
    this.push = button("push", "Hold to talk", "Listen only while this is held down (or the space bar on it)", () => {});
    for (const [down, up] of [["pointerdown", "pointerup"], ["keydown", "keyup"]]) {
      const key = (event, on) => {
        if (event.key && event.key !== " ") return;
        event.preventDefault();
        if (!event.repeat) this.hold(on);
      };
      this.push.addEventListener(down, (event) => key(event, true));
      this.push.addEventListener(up, (event) => key(event, false));
    }
    this.away = () => this.hold(false); // whoever goes elsewhere has let it go, and its end may not be reported
    for (const lost of ["pointerleave", "pointercancel", "blur"]) this.push.addEventListener(lost, this.away);
    window.addEventListener("blur", this.away);
    const interrupt = button("interrupt", "Interrupt", "Stop the agent's answer here", () => page.verb("interrupt"));
    const bookmark = button("bookmark", "Bookmark", "Mark this moment in the recording", () => page.verb("bookmark"));
    this.word = make("span", { role: "alert" });
    this.instead = this.picker();
    this.notice = make("div", { class: "wb-notice", hidden: true }, this.word, this.instead);
    this.lines = make("div", { class: "wb-lines", "aria-live": "polite" });
    this.field = make("input", { class: "wb-type", type: "text", maxlength: "4000", "aria-label": "Type to the agent" });
    this.field.addEventListener("keydown", (event) => {
      event.stopPropagation(); // the notebook's own keys
      if (event.key === "Enter" && this.field.value.trim()) {
        page.verb("type", { text: this.field.value });
        this.field.value = "";
      }
    });
    const meter = (name, speaker) => make("div", { class: "wb-meter", style: `--wb-speaker: var(--wb-${speaker})` }, make("span", {}, name), make("div", { class: "wb-bar" }, make("i")));
    this.you = meter("you", "user");
    this.agent = meter("agent", "agent");
    this.networkFacts = make("div", { class: "wb-network" });
    this.waterfallTitle = make("div", { class: "wb-title" }, "Last turn");
    this.waterfallBox = make("div", { class: "wb-waterfall" });
    this.plotTitle = make("div", { class: "wb-title" }, "Heard latency");
    this.plotBox = make("div", { class: "wb-plot" });
    this.toolsBox = make("div", { class: "wb-tools" });
    this.panels = new PluginPanels(this.model);
    this.settingsBox = make("div", { class: "wb-settings" });
    this.devices = make("div", { class: "wb-devices" });
    const settings = make("details", { class: "wb-more" }, make("summary", {}, "Knobs and devices"), this.settingsBox, this.devices, this.chosen = this.picker());
    settings.addEventListener("toggle", () => settings.open && page.listDevices().then((all) => this.choose(all)));
    const saved = `.wb-saved-${this.model.get("ident")}`; // the static output under this view: it says the same
    this.root = make("div", { class: "wb-live" },
      make("style", {}, `${saved}, .jp-OutputArea-child:has(${saved}) { display: none; }`),
      make("div", { class: "wb-head" }, this.dot, this.activity, this.about, this.talk, this.mute, this.push, interrupt, bookmark),
      this.notice,
      make("div", { class: "wb-body" },
        make("div", { class: "wb-left" }, this.lines, this.field, settings),
        make("div", { class: "wb-right" }, this.you, this.agent, this.networkFacts, this.waterfallTitle, this.waterfallBox, this.toolsBox, this.plotTitle, this.plotBox, this.panels.root)));
    el.classList.add("wb-place");
    el.append(this.root);
  }

  close() {
    for (const [name, draw] of Object.entries(this.handlers)) this.model.off(`change:${name}`, draw);
    window.removeEventListener("blur", this.away);
    this.hold(false);
    this.resized.disconnect();
    this.themed.disconnect();
    if (this.chart) this.chart.destroy();
    this.root.remove();
  }

  hold(on) {
    if (on === this.holding) return;
    this.holding = on;
    this.push.classList.toggle("wb-on", on);
    this.page.verb("mute", { on: !on });
  }

  // Nothing happens any more.
  get over() {
    return Boolean(this.page.gone) || this.model.get("activity") === "ended";
  }

  // The activity has changed. A session that is over keeps no microphone open.
  rest() {
    if (this.over && (this.page.talking || this.page.speaker)) this.page.silence();
    this.header();
    this.meters();
  }

  header() {
    const activity = this.over ? "ended" : this.model.get("activity");
    const status = this.model.get("status");
    this.root.dataset.activity = activity;
    this.root.style.setProperty("--wb-activity", `var(--wb-activity-${activity})`);
    this.activity.textContent = ACTIVITIES[activity] ?? activity;
    const facts = [status.by_text ? `⚠ ${status.by_text}` : "", status.agent, status.profile, ...(status.answers ?? []), status.room ? `room ${status.room}` : "", status.duplex === "half" ? "half duplex" : "", status.cost ? `cost ${status.cost}` : "", status.lag ? `host ${ms(status.lag)}` : ""];
    this.about.textContent = facts.filter(Boolean).join(" · ");
    this.about.title = `${this.about.textContent}\n${status.recording ? `recorded in ${status.recording}` : "not recorded"}`;
    const muted = this.model.get("muted");
    this.mute.textContent = muted ? "Unmute" : "Mute";
    this.mute.classList.toggle("wb-on", muted);
    for (const button of this.root.querySelectorAll(".wb-head button")) button.hidden = this.over;
    this.talk.hidden ||= !status.browser;
    this.push.hidden ||= !status.hears;
    this.chosen.hidden = this.over || !status.hears;
    this.field.placeholder = this.over ? "The session is over" : "Type to the agent …";
    this.talk.textContent = this.page.talking ? "Stop" : this.page.taken ? "Take over" : "Talk";
    this.talk.classList.toggle("wb-on", this.page.talking);
    for (const control of this.root.querySelectorAll(".wb-head button, .wb-instead button, .wb-type, .wb-settings input, .wb-devices select")) control.disabled = this.over;
    this.say();
  }

  // The page's own trouble comes first, then the session's.
  say() {
    const status = this.model.get("status");
    const [reason, hint, instead] = this.page.notice() ?? status.error ?? (status.ended ? [`the session has ended: ${status.ended}`, status.recording ? `recorded in ${status.recording}; run the cell again for a new one` : "run the cell again for a new one"] : ["", ""]);
    this.notice.hidden = !reason;
    this.word.replaceChildren(make("b", {}, reason), ...(hint ? [` → ${hint}`] : []));
    this.instead.hidden = !(instead && status.hears);
  }

  // A button that asks for a file, which then speaks.
  picker() {
    const input = make("input", { type: "file", accept: "audio/*,.wav,.mp3,.ogg,.m4a,.flac", class: "wb-file", hidden: true, "aria-label": "A file that speaks" });
    input.addEventListener("change", () => {
      if (input.files.length) this.page.playFile(input.files[0]);
      input.value = ""; // the same file may be chosen again
    });
    const ask = make("button", { title: "It speaks in the place of the microphone", onclick: () => input.click() }, "Let a file speak …");
    return make("span", { class: "wb-instead" }, ask, input);
  }

  conversation() {
    const near = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 40;
    const rows = this.model.get("lines").map(({ who, state, text, unheard, hint, heard_ms }) => {
      const row = make("div", { class: `wb-line wb-${who} wb-is-${state}` }, make("span", { class: "wb-who" }, { user: "you", agent: "agent", note: "" }[who] ?? ""), make("span", { class: "wb-text" }, text));
      if (unheard) row.lastChild.append(make("s", { title: "not heard" }, ` ${unheard}`));
      if (hint) row.lastChild.append(make("em", {}, ` → ${hint}`));
      if (heard_ms !== null && heard_ms !== undefined) row.append(make("span", { class: "wb-ms" }, ms(heard_ms)));
      return row;
    });
    this.lines.replaceChildren(...rows);
    if (near) this.lines.scrollTop = this.lines.scrollHeight;
  }

  meters() {
    const [user, userPeak, agent, agentPeak] = this.over ? REST : this.model.get("levels");
    const show = (meter, rms, peak) => {
      const bar = meter.lastChild.firstChild;
      bar.style.transform = `scaleX(${Math.max(0, Math.min(1, (rms + 70) / 70))})`; // no layout ten times a second
      meter.classList.toggle("wb-hot", peak > -1);
    };
    show(this.you, user, userPeak);
    show(this.agent, agent, agentPeak);
  }

  // Numbers of the way between page and kernel, once a second.
  network() {
    const { connection, speaker, microphone, file } = this.page;
    const facts = [];
    if (this.page.talking) {
      facts.push(`round trip ${ms(connection.rtt)}`);
      if (speaker?.bufferMs) facts.push(`playback buffer ${ms(speaker.bufferMs)}`);
      if (speaker?.underruns) facts.push(`${speaker.underruns} under-run${speaker.underruns === 1 ? "" : "s"}`);
      if (microphone?.on) facts.push(this.model.get("status").echo);
      facts.push(file.progress);
    }
    this.networkFacts.textContent = facts.filter(Boolean).join(" · ");
  }

  drawWaterfall() {
    const { title, total_ms, bars } = this.model.get("waterfall");
    this.waterfallTitle.textContent = title ? `${title}${total_ms === null ? "" : ` · heard after ${ms(total_ms)}`}` : "Last turn";
    const start = Math.min(0, ...bars.map((bar) => bar.lane[0]));
    const end = Math.max(total_ms ?? 0, 1, ...bars.map((bar) => bar.lane[1]));
    const share = (value) => `${(100 * value) / (end - start)}%`;
    this.waterfallBox.replaceChildren(...bars.map((bar) => {
      const lane = make("span", { class: "wb-lane" });
      const counted = make("span", { class: "wb-counted" });
      lane.style.left = share(bar.lane[0] - start);
      lane.style.width = share(bar.lane[1] - bar.lane[0]);
      const solid = Math.min(Math.abs(bar.counted_ms), bar.lane[1] - bar.lane[0]);
      counted.style.left = share(bar.lane[1] - solid - start);
      counted.style.width = share(solid);
      return make("div", { class: "wb-bar-row", title: bar.provider ?? "", style: `--wb-part: var(--wb-${bar.colour})` }, make("span", { class: "wb-part" }, bar.label), make("span", { class: "wb-track" }, lane, counted), make("span", { class: "wb-ms" }, ms(bar.counted_ms)));
    }));
  }

  plot() {
    const { points, p50, p95, n } = this.model.get("latency");
    this.plotTitle.textContent = n ? `Heard latency · p50 ${ms(p50)} · p95 ${ms(p95)} · n ${n}` : "Heard latency";
    const turns = points.map((point) => point.turn);
    const done = points.map((point) => (point.kind === "done" ? point.ms : null));
    const other = points.map((point) => (point.kind === "done" ? null : point.ms));
    const kinds = new Set(points.map((point) => point.kind).filter((kind) => kind !== "done"));
    if (kinds.size) this.plotTitle.append(make("span", { class: "wb-not-counted" }, ` ● ${[...kinds].join(", ")}: not counted`));
    const flat = (value) => turns.map(() => value);
    const data = [turns, done, other, flat(p50), flat(p95)];
    if (this.chart) this.chart.setData(data);
    else if (points.length) this.draw(data);
  }

  draw(data) {
    const style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(`--wb-${name}`).trim();
    const grid = { stroke: colour("line"), width: 1 };
    const axis = { stroke: colour("quiet"), grid, ticks: grid, font: "11px system-ui" };
    const line = { stroke: colour("agent"), width: 1, points: { show: false } };
    const dots = (stroke) => ({ stroke, paths: () => null, points: { show: true, size: 6, fill: stroke } });
    this.chart = new uPlot({
      width: Math.max(160, this.plotBox.clientWidth), height: 130,
      legend: { show: false }, cursor: { show: false },
      scales: { x: { time: false, range: (u, low, high) => [low - 0.5, Math.max(high, low + 4) + 0.5] }, y: { range: (u, low, high) => [0, Math.max(100, high * 1.15)] } },
      axes: [{ ...axis, size: 26, incrs: [1, 2, 5, 10, 20, 50, 100] }, { ...axis, size: 46 }],
      series: [{}, dots(colour("agent")), dots(colour("warning")), line, { ...line, dash: [4, 4] }],
    }, data, this.plotBox);
  }

  // Colours of a canvas do not follow a theme by themselves; its style sheet comes a moment after its name.
  repaint() {
    clearTimeout(this.painting);
    this.painting = setTimeout(() => {
      this.chart?.destroy();
      this.chart = null;
      this.plot();
    }, 500);
  }

  resize() {
    if (this.chart && this.plotBox.clientWidth > 0) this.chart.setSize({ width: this.plotBox.clientWidth, height: 130 });
  }

  sliders() {
    const knobs = this.model.get("knobs");
    const about = this.model.get("slider_bounds");
    if (!this.knobs) {
      this.knobs = {};
      for (const [name, { low, high, step, description }] of Object.entries(about)) {
        const value = make("output");
        const slider = make("input", { type: "range", min: low, max: high, step, "aria-label": name });
        slider.addEventListener("input", () => (value.textContent = slider.value));
        slider.addEventListener("change", () => this.page.verb("set", { name, value: Number(slider.value) }));
        this.knobs[name] = { slider, value };
        this.settingsBox.append(make("label", { title: description }, make("span", {}, name), slider, value));
      }
    }
    for (const [name, { slider, value }] of Object.entries(this.knobs)) {
      slider.value = knobs[name];
      value.textContent = knobs[name];
    }
  }

  choose({ inputs, outputs }) {
    const select = (label, all, chosen, use) => {
      const box = make("select", { "aria-label": label }, ...all.map((device) => make("option", { value: device.deviceId, selected: device.deviceId === chosen }, device.label || "(allow the microphone to see names)")));
      box.addEventListener("change", () => use(box.value));
      return make("label", {}, make("span", {}, label), box);
    };
    this.devices.replaceChildren(
      ...(inputs.length ? [select("microphone", inputs, this.page.device, (id) => this.page.useMicrophone(id))] : []),
      ...(outputs.length ? [select("speaker", outputs, this.page.output, (id) => this.page.useSpeaker(id))] : []));
  }

  toolCalls() {
    this.toolsBox.replaceChildren(...this.model.get("tools").map(toolRow));
  }
}
