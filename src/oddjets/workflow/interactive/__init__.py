"""An analysis in a notebook or a script: what `oddjets.Run` is made of."""
