"""The stages, one module each: `work` runs the stage and returns the content of its manifest."""
