"""What nbgrader is told in every server of the hub; jupyterhub_config.py says where this file is."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

c = get_config()  # noqa: F821  # nbgrader gives it

c.CourseDirectory.course_id = os.environ["COURSEWORK_COURSE"]
c.Exchange.root = os.environ["COURSEWORK_EXCHANGE"]

if "COURSEWORK_GRADER" in os.environ:
    tools = str(Path(__file__).resolve().parent.parent)
    if tools not in sys.path:
        sys.path.append(tools)
    import sandbox
    from autograde import ExecuteWatched
    from feedback import KeepHidden
    from nbgrader.converters import Autograde
    from nbgrader.preprocessors import Execute, GetGrades

    c.CourseDirectory.root = str(Path.home() / "course")

    # Where the one kernel that this process grades with has its folder; student code reaches no other.
    kept = f"COURSEWORK_KERNEL_{os.getpid()}"  # nbgrader reads this file again at every click
    if kept not in os.environ:
        os.environ[kept] = tempfile.mkdtemp(prefix="kernel-")
        atexit.register(shutil.rmtree, os.environ[kept], ignore_errors=True)
    ExecuteWatched.folder = Path(os.environ[kept])
    c.KernelManager.transport = "ipc"
    c.KernelManager.connection_file = str(ExecuteWatched.folder / "kernel" / "kernel.json")
    c.Execute.kernel_name = sandbox.NAME
    c.Execute.timeout = 60  # seconds that a cell may take
    c.Execute.iopub_timeout = 20  # seconds for a cell that was stopped to end

    def before_a_notebook_runs(assignment, student, notebooks):
        """Tell the notebook whose it is, and let it find nothing of the one before."""
        os.environ["COURSEWORK_STUDENT"] = Path(notebooks[0]).parts[-3]  # student/problem set/notebook
        (ExecuteWatched.folder / sandbox.ENDED).unlink(missing_ok=True)
        kernel = ExecuteWatched.folder / "kernel"
        if kernel.exists():  # moved away before it is removed: what is in it may resist that
            shutil.rmtree(kernel.rename(tempfile.mkdtemp(dir=ExecuteWatched.folder)), ignore_errors=True)
        kernel.mkdir(mode=0o700)

    c.Autograde.pre_convert_hook = before_a_notebook_runs
    c.Autograde.autograde_preprocessors = [
        ExecuteWatched if step is Execute else step
        for step in Autograde.class_traits()["autograde_preprocessors"].default_args[0]
    ]
    c.GenerateFeedback.preprocessors = [GetGrades, KeepHidden]
else:
    # The hub knows who hands in; nbgrader alone would write down the user of the system.
    c.CourseDirectory.student_id = os.environ["JUPYTERHUB_USER"]
