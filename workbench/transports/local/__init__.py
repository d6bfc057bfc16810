"""A microphone and a speaker of this machine, by PortAudio, with the echo cancelled."""
