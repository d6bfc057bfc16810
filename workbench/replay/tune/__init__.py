"""Endpointing, scored on recordings: every silence of the user is put to the turn detector with many settings at once.

recording   what a session folder has for it: VAD probabilities, words, estimates, when the agent spoke
truth       which silences were pauses within a turn, and which the end of one: by what the user did next
labels      corrections by hand, kept beside the recording
silences    the track `user` heard again with other settings of the VAD
decisions   what the turn detector decides in each silence, with each of its settings
figures     false cutoffs and latency of each setting, their front, operating points
grid        the settings that are tried
workers     the same work on this machine's cores, or on a cluster
tuning      all of it together
"""
