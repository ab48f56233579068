"""The program `oddjets`, run as `python -m oddjets`."""

from oddjets.cli.main import main

if __name__ == "__main__":
    main()
