"""Analyses in notebooks and scripts: the class `oddjets.Run` and its views."""
