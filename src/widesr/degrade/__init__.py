"""Degrades HR: by bicubic, by single steps, and by named degradations made of them."""
