"""`python -m oddjets` is the program `oddjets`."""

from oddjets.cli.main import main

if __name__ == "__main__":
    main()
