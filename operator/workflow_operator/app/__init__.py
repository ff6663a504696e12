"""Composition: settings, and the wiring of each role."""
