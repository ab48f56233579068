"""The kinds of figures, a module each: `data` collects what is drawn, `draw` draws it."""
