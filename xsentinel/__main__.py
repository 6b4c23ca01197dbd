"""``python -m xsentinel``: the shell."""

from xsentinel.cli import main

if __name__ == "__main__":
    main(prog_name="xsentinel")
