"""A run of several processes ends in all of them, soon and with one sentence, when one dies, hangs or fails."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning import Callback, Trainer
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from inpaintzoo.callbacks import meeting
from inpaintzoo.callbacks.meeting import WAIT_MINUTES, Lost, Meeting, wait_minutes
from inpaintzoo.types import InpaintzooError

_LOOK = 0.5  # seconds between two looks at the others
_AWAKE = 10.0  # seconds between two looks after which this process itself has been stopped, with Ctrl-Z for example
_GRACE = 5.0  # seconds for the main thread to end by itself
_SLOWER = 20  # how many times longer than ever before a batch takes if the process hangs
_PARENT = "INPAINTZOO_PARENT"  # in the environment: the process that has started this one as part of its run


def watch(name: str, trainer: Trainer) -> Watch | None:
    """Let the processes of a trainer watch each other.

    Args:
        name: The command, to begin the sentence with.
        trainer: It has not begun. With one process, or with processes that are not scripts, nothing is done.

    Returns:
        The watch, which has become the trainer's first callback.
    """
    launcher = trainer.strategy.launcher
    if trainer.world_size == 1 or not isinstance(launcher, _SubprocessScriptLauncher):
        return None

    def advice() -> str:
        saved = [path for each in trainer.checkpoint_callbacks if (path := getattr(each, "last_model_path", ""))]
        return f"go on with --ckpt_path {saved[0]}" if saved and trainer.state.fn == "fit" else "run the command again"

    watching = Watch(name, trainer.global_rank, trainer.world_size, advice)
    trainer.strategy._launcher = _Launcher(
        watching, launcher.cluster_environment, launcher.num_processes, launcher.num_nodes
    )
    trainer.callbacks.insert(0, watching)  # type: ignore[attr-defined]
    return watching


class _Launcher(_SubprocessScriptLauncher):
    """Lightning's without its observer, which kills all processes, this one too, and does not say why."""

    def __init__(self, watching: Watch, environment: ClusterEnvironment, processes: int, nodes: int) -> None:
        super().__init__(environment, processes, nodes)
        self.watching = watching

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Trainer | None = None, **kwargs: Any) -> Any:
        """Start the other processes of this node, unless something else has, and call the function."""
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            os.environ[_PARENT] = str(os.getpid())
            self._call_children_scripts()
            del os.environ[_PARENT]
        self.watching.start(self.cluster_environment.main_address, self.cluster_environment.main_port, self.procs)
        return function(*args, **kwargs)

    def kill(self, signum: Any) -> None:
        """End the processes that this one has started, since a signal asked for it."""
        self.watching.over.set()
        super().kill(signum)


def _reaches(place: str) -> Any:
    def hook(self: Watch, *args: Any, **kwargs: Any) -> None:
        self.reach(place)

    return hook


class Watch(Callback):
    """Ends this process when another one of the run has died, hangs or has failed, and the others when this one has.

    Two threads do it, because the main thread may wait for the others in a collective operation for ever: one talks to
    the others, which may wait too, and one looks at the clock. Nothing depends on the backend, or on what it raises.
    The first process tells the reason; the second does if the first is lost.

    A process hangs if it gives no sign of life, or if a batch takes longer than 40 seconds and 20 times longer than
    any before; the first of its kind may take 10 minutes. `INPAINTZOO_WAIT_MINUTES` in the environment replaces both.
    Work outside batches, such as a checkpoint, has only the limit of torch's process group.

    Args:
        name: The command, to begin the sentence with.
        rank: This process's number.
        count: Number of processes.
        advice: Gives what to do when a process is lost.

    Raises:
        ConfigError: `INPAINTZOO_WAIT_MINUTES` is wrong.
    """

    def __init__(self, name: str, rank: int, count: int, advice: Callable[[], str]) -> None:
        self._name, self._rank, self._count, self._advice = name, rank, count, advice
        self._patience = 60 * wait_minutes()
        self._children: Sequence[subprocess.Popen[bytes]] = ()
        self._parent = int(os.environ.get(_PARENT, 0))
        self._meeting: Meeting | None = None
        self._talks: threading.Thread | None = None
        self._answered: float | None = None  # when the others could last be asked
        self._place, self._since = "", time.monotonic()
        self._longest: dict[str, float] = {}
        self._reason, self._first_lost = "", False  # the reason is empty if another process has told it
        self._joined, self._known, self.over = threading.Event(), threading.Event(), threading.Event()
        self._choosing = threading.Lock()

    def start(self, address: str, port: int, children: Sequence[subprocess.Popen[bytes]] = ()) -> None:
        """Begin to watch.

        Args:
            address: Where torch's store is, or will be.
            port: Its port.
            children: Processes of the run that this one has started.
        """
        self._children = children
        self._talks = threading.Thread(target=self._talk, args=(address, port), daemon=True)
        self._talks.start()
        threading.Thread(target=self._look, daemon=True).start()

    def reach(self, place: str) -> None:
        """Note what the main thread begins to do; an empty name is for what may take long."""
        now = time.monotonic()
        self._longest[self._place] = max(self._longest.get(self._place, 0.0), now - self._since)
        self._place, self._since = place, now

    on_train_batch_start = _reaches("a training batch")
    on_validation_batch_start = _reaches("a validation batch")
    on_test_batch_start = _reaches("a test batch")
    on_predict_batch_start = _reaches("a batch to predict")
    on_train_batch_end = _reaches("loading a training batch")
    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = _reaches("loading a batch")
    on_save_checkpoint = on_train_epoch_end = on_validation_start = _reaches("")
    on_validation_epoch_end = on_test_epoch_end = on_predict_epoch_end = _reaches("")

    def teardown(self, *args: Any, **kwargs: Any) -> None:
        """Leave the others; this process has done its part."""
        self.reach("")
        if self._meeting is not None:
            self._meeting.leave(failed=False)
        self.over.set()
        if self._talks is not None:
            self._talks.join(_GRACE)  # a thread within torch may abort the process while Python shuts down

    def failed(self, text: str, echo: bool) -> str | None:
        """The main thread ends with an error: tell the others, and find out what this process has to say.

        Args:
            text: The error in one sentence.
            echo: Whether it only says that another process may have ended.

        Returns:
            The sentence; None if another process says it.
        """
        if dist.is_initialized():
            self._joined.wait(_GRACE)
        if echo:
            self._known.wait(2 * _GRACE)
        self._learn(text if self._rank == 0 else f"process {self._rank}: {text}")
        self.over.set()
        self._publish()
        atexit.register(_leave)
        return self._reason if self._speaks else None

    @property
    def _speaks(self) -> bool:
        first = self._rank == 0 or (self._rank == 1 and self._first_lost) or self._meeting is None
        return first and self._reason != ""

    def _learn(self, reason: str, lost: int | None = None) -> None:
        """Keep the first reason to end."""
        with self._choosing:
            if not (self._known.is_set() or self.over.is_set()):
                self._reason, self._first_lost = reason, lost == 0
                self._known.set()

    def _publish(self) -> None:
        """End the processes that this one has started, and tell the others why."""

        def tell(meeting: Meeting) -> None:
            meeting.others -= {*range(self._rank + 1, self._rank + 1 + len(self._children))}
            meeting.leave(failed=True, reason=self._reason)

        for child in self._children:
            child.kill()
        if self._meeting is not None and not self._first_lost:
            sender = threading.Thread(target=tell, args=(self._meeting,), daemon=True)  # the store may not answer
            sender.start()
            sender.join(_GRACE)

    def _talk(self, address: str, port: int) -> None:
        """Listen to the others, and give signs of life."""
        try:  # a connection of its own, since a call of the main thread may wait
            store = dist.TCPStore(
                address, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=self._patience)
            )
        except RuntimeError:  # the main thread meets the same
            return
        self._meeting = others = Meeting(store, self._rank, self._count, self._advice())
        self._joined.set()
        asked = time.monotonic()
        while not self.over.wait(_LOOK):
            if time.monotonic() - asked > _AWAKE:
                others.seen.clear()
            asked = time.monotonic()
            others.advice = self._advice()
            try:
                others.check()
                self._answered = time.monotonic()
            except InpaintzooError as error:
                if self._rank == 0 or 0 in others.others:  # otherwise the first process has finished
                    self._learn(str(error), error.process if isinstance(error, Lost) else None)
                return

    def _look(self) -> None:
        """Look at the clock and at the processes next to this one, and end this process when there is a reason."""
        looked = time.monotonic()
        while not (self.over.wait(_LOOK) or self._known.is_set()):
            now = time.monotonic()
            if now - looked > _AWAKE:
                self._since = now
                self._answered = self._answered and now
            looked = now
            for lost, reason in self._lost(now):
                self._learn(reason, lost)
        if self._known.is_set():
            self._end()

    def _lost(self, now: float) -> Iterator[tuple[int, str]]:
        """Processes that are lost, each with the reason to end."""
        codes = {number: child.poll() for number, child in enumerate(self._children, self._rank + 1)}
        for number, code in codes.items():
            if code is not None and code < 0:
                text = f"process {number} was killed by {signal.Signals(-code).name}"
                yield number, f"{text}, by the system if memory ran out; {self._advice()}"
        for number, code in codes.items():
            if code in (1, 2) and not self._known.wait(_GRACE):
                yield number, ""  # it could not be heard, and has said its reason itself
        finished = self._meeting is not None and 0 not in self._meeting.others
        if self._rank and not finished and self._parent and os.getppid() != self._parent:
            yield 0, f"process 0 has ended without a word (killed, or out of memory); {self._advice()}"
        if self._rank and not finished and self._answered and now - self._answered > meeting.SILENCE:
            yield 0, f"process 0 does not answer; {self._advice()}"
        before, took = self._longest.get(self._place), now - self._since
        frame = sys._current_frames()[threading.main_thread().ident or 0]
        waits = {"distributed", "autograd"} & {*Path(frame.f_code.co_filename).parts}  # most likely for another process
        limit = self._patience
        if before is not None and WAIT_MINUTES not in os.environ:
            limit = max(meeting.SILENCE + _GRACE, _SLOWER * before)
        if self._place and took > limit + (_GRACE if waits else 0):
            where = f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
            yield (
                self._rank,
                f"process {self._rank} has spent {took:.0f} s on {self._place} ({where}); {self._advice()}, with a "
                f"larger {WAIT_MINUTES} in the environment if it needs so long",
            )

    def _end(self) -> None:
        """End this process and those that it has started; the main thread may do it before, in good order."""
        if self._first_lost and self._parent and os.getppid() == self._parent:
            os.kill(self._parent, signal.SIGKILL)
        if not self.over.is_set():
            self._publish()
        if not self.over.wait(_GRACE) and self._speaks:
            sys.stdout.flush()
            os.write(2, f"{self._name}: error: {self._reason}\n".encode())
        elif self.over.is_set():
            time.sleep(_GRACE)
        os._exit(1)


def _leave() -> None:
    """End this process, whose connection to the others cannot be closed in good order and has threads of its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
