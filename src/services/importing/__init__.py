"""Imports of channels and memberships into the membership store."""
