"""The parts that all services share: settings, tokens, logs, metrics, health, HTTP."""
