"""oddjets from a checkout: the same program as the installed `oddjets`."""

from oddjets.cli.main import main

if __name__ == "__main__":
    main()
