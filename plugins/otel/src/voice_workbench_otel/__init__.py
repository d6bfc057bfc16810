"""Each turn as a trace of OpenTelemetry: for Jaeger, Langfuse, Grafana, or whoever takes OTLP."""
