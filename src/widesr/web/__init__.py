"""Serves pictures over HTTP: the interface for programs under /v1, and the page for people at /."""
