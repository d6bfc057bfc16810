"""The weather anywhere, from Open-Meteo: a tool for voice agents."""
