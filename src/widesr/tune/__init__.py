"""Finds what is fastest on this machine, and what each precision costs a model."""
