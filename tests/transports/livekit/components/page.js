// A page made of LiveKit's own React components, as their starter apps use them. What the hooks give is kept in
// `window.seen`, for the test to read; it shows nothing that they do not.
import {
  BarVisualizer,
  RoomAudioRenderer,
  SessionProvider,
  useAgent,
  useChat,
  useSession,
  useSessionMessages,
  useTranscriptions,
  useVoiceAssistant,
} from "@livekit/components-react";
import { Room, RoomEvent, TokenSource } from "livekit-client";
import { createElement as h, useEffect, useMemo } from "react";
import { createRoot } from "react-dom/client";

const seen = (window.seen = { states: [], agent: [], rpc: [], transcriptions: [], messages: [], chat: [], legacy: [] });

function note(list, value) {
  if (value !== undefined && list.at(-1) !== value) list.push(value);
}

function Inside({ session }) {
  const assistant = useVoiceAssistant();
  const agent = useAgent();
  const transcriptions = useTranscriptions();
  const { messages, send } = useSessionMessages(session);
  const { chatMessages } = useChat();
  useEffect(() => note(seen.states, assistant.state), [assistant.state]);
  useEffect(() => note(seen.agent, agent.state), [agent.state]);
  seen.send = send;
  seen.room = session.room;
  seen.name = assistant.agent?.name;
  seen.track = assistant.audioTrack?.publication?.trackSid;
  seen.subscribed = assistant.audioTrack?.publication?.isSubscribed ?? false;
  seen.attributes = { ...assistant.agentAttributes };
  seen.legacy = assistant.agentTranscriptions.map(({ id, text, final }) => ({ id, text, final }));
  seen.transcriptions = transcriptions.map(({ text, participantInfo, streamInfo }) => ({
    text,
    from: participantInfo.identity,
    attributes: { ...streamInfo.attributes },
  }));
  seen.messages = messages.map(({ type, message, from }) => ({ type, message, from: from?.identity }));
  seen.chat = chatMessages.map(({ message, from }) => ({ message, from: from?.identity }));
  return h(
    "main",
    { "data-state": assistant.state },
    h(BarVisualizer, { state: assistant.state, track: assistant.audioTrack, barCount: 5 }),
    h(RoomAudioRenderer),
  );
}

function App({ serverUrl, participantToken, preConnect }) {
  const source = useMemo(() => TokenSource.literal({ serverUrl, participantToken }), []);
  // livekit-client 2.23.0 looks for this in the room's defaults only, not in what `session.start` is given
  const room = useMemo(() => new Room({ publishDefaults: { preConnectBuffer: preConnect } }), []);
  const session = useSession(source, { room });
  useEffect(() => {
    session.room.registerRpcMethod("show", async ({ payload }) => (seen.rpc.push(payload), `shown: ${payload}`));
    room.on(RoomEvent.LocalTrackPublished, ({ track }) => listen(track.mediaStreamTrack));
    session.start().catch((error) => (seen.error = String(error)));
  }, []);
  return h(SessionProvider, { session }, h(Inside, { session }));
}

// Whether somebody has spoken into the microphone, and has come to an end.
function listen(track) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let loudAt = 0;
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    if (samples.some((sample) => Math.abs(sample) > 0.05)) loudAt = performance.now();
    seen.spoke = loudAt > 0 && performance.now() - loudAt > 500;
  }, 20);
}

window.begin = (options) => createRoot(document.getElementById("app")).render(h(App, options));
