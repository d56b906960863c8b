"""``python -m olmoflow`` is the same as ``olmoflow``."""

from olmoflow.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
