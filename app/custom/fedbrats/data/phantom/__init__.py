"""Synthetic multi-modal brains with tumours."""
