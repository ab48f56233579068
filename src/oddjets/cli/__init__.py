"""The command line: one verb for each stage, and further verbs on analyses, folders, models and open data."""
