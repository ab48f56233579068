"""The command line: a verb a stage, and a few that serve them."""
