"""Deployments: which adapters the settings name, and which services run in one process."""
