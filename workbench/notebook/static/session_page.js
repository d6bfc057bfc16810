(name) => {
  const page = document.getElementById(name);
  const picture = page && page.querySelector("img[data-rows]");
  if (!picture) return;
  // Each row: left, bottom, right, top as shares of the picture, then its first and last ms.
  const rows = picture.dataset.rows.split(";").map((row) => row.split(",").map(Number));
  const sounds = [...page.querySelectorAll("audio[data-start]")];
  const line = document.createElement("div");
  line.style.cssText = "position:absolute;width:2px;background:var(--wb-error);pointer-events:none;display:none";
  picture.parentElement.append(line);

  const follow = (sound) => {
    const ms = Number(sound.dataset.start) + sound.currentTime * 1000;
    const row = rows.find(([, , , , first, last]) => ms >= first && ms < last);
    line.style.display = row && !sound.paused ? "block" : "none";
    if (row) {
      const [left, bottom, right, top, first, last] = row;
      line.style.left = `${100 * (left + ((right - left) * (ms - first)) / (last - first))}%`;
      line.style.top = `${100 * (1 - top)}%`;
      line.style.height = `${100 * (top - bottom)}%`;
    }
    if (!sound.paused) requestAnimationFrame(() => follow(sound));
  };

  for (const sound of sounds) {
    sound.addEventListener("play", () => {
      for (const other of sounds) if (other !== sound) other.pause();
      follow(sound);
    });
  }

  picture.style.cursor = sounds.length ? "pointer" : "";
  picture.title = sounds.length ? "click to hear" : "";
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const up = 1 - (event.clientY - box.top) / box.height;
    const row = rows.find(([, bottom, , top]) => up >= bottom && up <= top);
    if (!row) return;
    const ms = row[4] + ((across - row[0]) / (row[2] - row[0])) * (row[5] - row[4]);
    for (const sound of sounds) {
      const at = (ms - Number(sound.dataset.start)) / 1000;
      if (at < 0 || at > (sound.duration || 0)) continue;
      sound.currentTime = at;
      sound.play();
      return;
    }
  });
}
