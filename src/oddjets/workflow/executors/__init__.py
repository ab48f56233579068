"""Running a processor over a fileset, here or elsewhere, chunk by chunk; what is done is never done again."""
