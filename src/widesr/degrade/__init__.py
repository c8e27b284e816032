"""How HR loses its detail: bicubic, single steps, and named ways that are made of them."""
