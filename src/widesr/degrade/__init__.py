"""Takes detail away from HR: by bicubic, by single steps, and by named ways made of them."""
