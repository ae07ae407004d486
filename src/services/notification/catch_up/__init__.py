"""Catch-up: what clients that were away get before they are live. Contract section 3, the tiers of section 5."""
