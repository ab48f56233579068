"""What each stage does, a module a verb: `work` does it and returns what the manifest keeps, `config` is what it depends on."""
