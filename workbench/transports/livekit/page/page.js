"use strict";
// What LiveKit's own components read: kind and attribute of the agent, text streams with segments, chat, calls.
const { Room, RoomEvent, ParticipantKind, Track, ConnectionState } = LivekitClient;
const $ = (id) => document.getElementById(id);
const room = new Room();
const lines = new Map();

function show(key, who, text, final) {
  if (!text && !lines.has(key)) return;
  let line = lines.get(key);
  if (!line) {
    line = document.createElement("li");
    lines.set(key, line);
    $("transcript").append(line);
    $("empty").hidden = true;
  }
  line.className = who + (final ? "" : " interim");
  line.textContent = text;
  line.scrollIntoView({ block: "end" });
}

function trouble(text) {
  $("trouble").hidden = !text;
  $("trouble").textContent = text;
}

const agent = () => [...room.remoteParticipants.values()].find((one) => one.kind === ParticipantKind.AGENT);

function state() {
  const there = agent();
  const connected = room.state === ConnectionState.Connected;
  const word = connected ? there?.attributes["lk.agent.state"] ?? "waiting for the agent" : room.state;
  $("state").textContent = word;
  $("state").dataset.state = connected && there ? word : "away";
  $("name").textContent = there?.name || there?.identity || "Agent";
  for (const one of [$("text"), $("chat").querySelector("button"), $("interrupt")]) one.disabled = !(connected && there);
  $("mute").disabled = !connected;
  $("talk").textContent = room.state === ConnectionState.Disconnected ? "Talk" : "Leave";
}

room.registerTextStreamHandler("lk.transcription", async (reader, sender) => {
  const about = reader.info.attributes ?? {};
  const key = about["lk.segment_id"] ?? reader.info.id;
  const who = sender.identity === room.localParticipant.identity ? "user" : "agent";
  let text = "";
  try {
    for await (const piece of reader) {
      text += piece;
      show(key, who, text, about["lk.transcription_final"] === "true");
    }
  } catch { /* it broke off: what came of it stays */ }
  const final = (reader.info.attributes ?? {})["lk.transcription_final"] === "true";
  show(key, who, text, final);
});

room.on(RoomEvent.TrackSubscribed, (track) => {
  if (track.kind === Track.Kind.Audio) document.body.append(track.attach());
});
room.on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((element) => element.remove()));
for (const event of [
  RoomEvent.ConnectionStateChanged, RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantAttributesChanged, RoomEvent.ParticipantNameChanged,
]) room.on(event, state);
room.on(RoomEvent.Reconnecting, () => trouble("The connection was interrupted; it is being tried again."));
room.on(RoomEvent.Reconnected, () => trouble(""));
room.on(RoomEvent.ConnectionQualityChanged, (quality, one) => {
  if (one === room.localParticipant) $("network").textContent = `network: ${quality}`;
});
let leaving = false;
let muted = false;
room.on(RoomEvent.Disconnected, async () => {
  state();
  if (leaving) return;
  trouble("The server is gone; it is being tried again.");
  for (let wait = 500; !leaving && room.state === ConnectionState.Disconnected; wait = Math.min(2 * wait, 5000)) {
    await new Promise((go) => setTimeout(go, wait));
    await join().catch(() => {});
  }
});

// What livekit-client takes while it restarts a connection, up to two seconds after it says that it is back, is kept for a
// resume that does not come, and lost. So wait until it is through.
async function settled() {
  while (room.engine?.attemptingReconnect) await new Promise((go) => setTimeout(go, 50));
}

async function join() {
  const answer = await fetch("token", { method: "POST" });
  if (!answer.ok) throw new Error(`no token: ${answer.status}`);
  const { url, token } = await answer.json();
  await room.connect(url, token);
  await room.localParticipant.setMicrophoneEnabled(!muted, { echoCancellation: true, noiseSuppression: true });
  trouble("");
  state();
}

$("talk").addEventListener("click", async () => {
  if (room.state !== ConnectionState.Disconnected) {
    leaving = true;
    await room.disconnect();
    return state();
  }
  leaving = false;
  trouble("");
  try {
    await room.startAudio();
    await join();
  } catch (error) {
    const refused = error.name === "NotAllowedError" || error.name === "NotFoundError";
    trouble(refused ? "There is no microphone, or it may not be used: you can type." : `Cannot join: ${error.message}`);
  }
  state();
});
$("mute").addEventListener("click", async () => {
  muted = !muted;
  $("mute").setAttribute("aria-pressed", String(muted));
  await room.localParticipant.setMicrophoneEnabled(!muted);
});
$("interrupt").addEventListener("click", async () => {
  await settled();
  const there = agent();
  if (there) room.localParticipant.performRpc({ destinationIdentity: there.identity, method: "interrupt", payload: "" })
    .catch((error) => trouble(error.message));
});
$("chat").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  show(`typed ${Date.now()}`, "user", text, true);
  await settled();
  await room.localParticipant.sendText(text, { topic: "lk.chat" });
});
state();
