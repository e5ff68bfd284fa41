"""The entry point of `thalweg` and `python -m thalweg`: nothing is imported before Ctrl-C is minded."""

import sys


def main() -> int:
    """Run the command line of this process and return the exit status."""
    try:
        from thalweg.cli import main as run

        return run()
    except KeyboardInterrupt:  # while the command line itself was being imported
        sys.stderr.write("Interrupted.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
