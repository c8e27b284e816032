"""What a picture is, and how its file is read and written, whatever its format.

The face: `picture` (what a picture is), `reading` and `writing` (one picture from and to a file),
`several` (animations, and files of several pages), `adapt` (what of a profile and of metadata goes
along), `pil` (pictures of Pillow's). Behind it each format and each kind of metadata has a module.
"""
