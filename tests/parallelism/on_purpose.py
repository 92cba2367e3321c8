"""What the tests tell a process to do at the end of a step; the processes import it by name."""

import os
import signal
from pathlib import Path


def die(step, loss):
    """The second process is killed after its thirteenth step, on the first try."""
    if step == 12 and os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        Path(os.environ["NOTE_OF_DEATH"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def fail(step, loss):
    if os.environ["RANK"] == "1":
        raise ArithmeticError("made to fail")


def never_end(step, loss):
    import time

    time.sleep(3600)
