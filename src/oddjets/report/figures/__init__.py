"""The kinds of figures, one module each: `data` collects the numbers, `draw` draws them."""
