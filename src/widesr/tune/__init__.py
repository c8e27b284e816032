"""Finds the fastest settings on this machine, and the quality that each precision costs a model."""
