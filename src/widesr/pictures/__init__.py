"""Says what a picture is, and reads and writes its file, whatever its format.

The face: `picture` (what a picture is), `reading` and `writing` (one picture from and to a file),
`several` (animations, and files of several pages), `sources` (paths, bytes, file objects), `adapt`
(what of a profile and of metadata goes along), `pil` (pictures of Pillow's). Behind it each format
and each kind of metadata has a module.
"""
