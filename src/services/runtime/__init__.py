"""What every service needs once: settings, tokens, logs, metrics, health, HTTP."""
