"""`sh bin/demo [--keep]`: play the demo in a folder of its own, and clean up."""

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import click
from examples.demo.stage import DemoFailed, tell, title
from examples.demo.story import play


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--keep", is_flag=True, help="Leave the homes, keys, relay and results in a folder to play with.")
def main(keep: bool) -> None:
    """Play Chez's main job, narrated: two devices, a blind relay, real data, a job that comes to it."""
    # Ctrl-C raises by itself; a terminal that closes and `kill` must clean up as well.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    folder = Path(tempfile.mkdtemp(prefix="chez-demo-"))
    began = time.monotonic()
    try:
        play(folder)
    except DemoFailed as failure:
        click.secho(f"\nThe demo failed: {failure}", fg="red", err=True)
        sys.exit(1)
    finally:
        if keep:
            _how_to_go_on(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    click.secho(f"\nEverything above was verified, in {time.monotonic() - began:.0f} seconds.", bold=True)


def _stop(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _how_to_go_on(folder: Path) -> None:
    title("To play on")
    tell("The passphrases are in laptop.passphrase and phone.passphrase. In the folder that was kept:")
    scripts = Path(sys.executable).parent
    address = folder / "relay.address"
    listen = address.read_text().strip() if address.exists() else "127.0.0.1:8787"
    click.echo(f"""
  cd {folder}
  export PATH="{scripts}:$PATH"
  chez-relay serve --listen {listen} --data relay &
  chez --home laptop --passphrase-file laptop.passphrase up --detach
  chez --home laptop ls transactions
  chez --home laptop grants
  chez --home laptop journal
  chez --home laptop lock""")


if __name__ == "__main__":
    main()
