"""Defines pictures, and reads and writes their files, whatever the format.

The public modules are `picture` (the types of pictures), `reading` and `writing` (one picture from
and to a file), `several` (animations, and files of several pages), `sources` (paths, bytes, file
objects), `adapt` (the profile and metadata that are kept) and `pil` (PIL images). Behind them, each
format and each kind of metadata has a module of its own.
"""
