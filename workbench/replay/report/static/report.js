"use strict";
// Plays what is clicked: a turn from its first to its last sound, or on from a place of the waveform.
(() => {
  const audio = document.querySelector("audio");
  if (!audio) return;
  const rows = [...document.querySelectorAll(".row")];
  let stop = Infinity, gains = null;

  // Both sides are one stereo file; once somebody plays it, each has a gain of its own and is heard in the middle.
  const connect = () => {
    if (gains || !window.AudioContext) return;
    const context = new AudioContext();
    const splitter = context.createChannelSplitter(2);
    context.createMediaElementSource(audio).connect(splitter);
    gains = ["user", "agent"].map((side, channel) => {
      const gain = context.createGain();
      gain.channelCount = 1;
      gain.channelCountMode = "explicit";
      splitter.connect(gain, channel);
      gain.connect(context.destination);
      return gain;
    });
    choose();
  };
  const choose = () => {
    const side = document.querySelector("input[name=side]:checked").value;
    if (gains) [["user", 0], ["agent", 1]].forEach(([name, at]) => { gains[at].gain.value = side === "both" || side === name ? 1 : 0; });
  };
  const play = (from, to) => {
    audio.currentTime = from / 1000;
    stop = to / 1000;
    audio.play();
  };
  const show = () => {
    const ms = audio.currentTime * 1000;
    if (audio.currentTime >= stop) { stop = Infinity; audio.pause(); }
    for (const row of rows) {
      const at = (ms - row.dataset.start) / row.dataset.ms, head = row.querySelector(".head");
      head.hidden = at < 0 || at >= 1;
      head.style.left = `${100 * at}%`;
    }
    for (const item of document.querySelectorAll("[data-play]")) {
      const [from, to] = item.dataset.play.split(",").map(Number);
      (item.closest("article") || item).classList.toggle("now", !audio.paused && from <= ms && ms < to);
    }
  };
  let frame = 0;
  const follow = () => { show(); frame = audio.paused ? 0 : requestAnimationFrame(follow); };
  audio.addEventListener("play", () => { connect(); cancelAnimationFrame(frame); follow(); });
  audio.addEventListener("pause", show);
  audio.addEventListener("seeked", show);
  document.querySelectorAll("input[name=side]").forEach((input) => input.addEventListener("change", choose));
  document.addEventListener("click", (event) => {
    const item = event.target.closest("[data-play]"), row = event.target.closest(".row");
    if (item) play(...item.dataset.play.split(",").map(Number));
    else if (row) {
      const box = row.getBoundingClientRect();
      play(Number(row.dataset.start) + (event.clientX - box.left) / box.width * row.dataset.ms, Infinity);
    }
  });
})();
