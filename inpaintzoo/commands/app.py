"""`inpaintzoo app`: the page in the browser, on this machine."""

from __future__ import annotations

import errno
import importlib.util
import ipaddress
import signal
import socket
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import restricted_number_type

from inpaintzoo.commands.run import run_command
from inpaintzoo.removal import PRETRAINED, GrabCut
from inpaintzoo.types import ConfigError, InpaintzooError
from inpaintzoo.words import did_you_mean, listed

_OFFERED = [name for name in PRETRAINED if name != "mpssd"]  # whose weights are the user's own
_NEEDS = ("fastapi", "uvicorn", "python_multipart")
_ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP
_Port = restricted_number_type("_Port", int, [(">=", 0), ("<=", 65535)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after `inpaintzoo app`; None reads sys.argv.

    Returns:
        The exit code: 0; 1 if it cannot be started; 2 for wrong usage; 130 for Ctrl-C.
    """
    return run_command(make_parser(), argv, _serve)


def make_parser() -> ArgumentParser:
    """The options of the command."""
    parser = ArgumentParser(prog="inpaintzoo app", description="Remove objects and fill holes in the browser.")
    add = parser.add_argument
    weights = "weights to choose from on the page: a file, a run's folder, or a name of `inpaintzoo list --weights`"
    segmenters = f"{listed(_OFFERED)}, in addition to grabcut; weights are downloaded if they are not there"
    add("--model", dest="models", type=str, action="append", default=[], help=weights)
    add("--segmenter", dest="segmenters", type=str, action="append", default=[], help=segmenters)
    add("--host", type=str, default="127.0.0.1", help="the address to listen on; another one lets others in")
    add("--port", type=_Port, default=8000, help="0 picks a free one")
    add("--open", action="store_true", help="open the page in the browser")
    add("--device", type=str, default="auto", help="cpu, cuda, cuda:1, ...; auto picks a GPU if there is one")
    add("--max-megabytes", type=float, default=200, help="size of an upload")
    add("--max-megapixels", type=float, default=100, help="size of a picture")
    return parser


def _serve(config: Namespace) -> None:
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f'the page needs {listed(missing, "and")}: pip install "inpaintzoo[app]"')
    import uvicorn  # here, with the rest: it is an extra

    from inpaintzoo.app.server import create_app
    from inpaintzoo.app.workplace import Limits, Workplace

    for name in config.segmenters:
        if name not in _OFFERED:
            raise ConfigError(f"--segmenter must be {listed(_OFFERED)}, got {name!r}{did_you_mean(name, _OFFERED)}")
    stems = [Path(model).stem for model in config.models]
    models = {model if stems.count(stem) > 1 else stem: model for model, stem in zip(config.models, stems, strict=True)}
    segmenters = {name: PRETRAINED[name](device=config.device) for name in config.segmenters}
    limits = Limits(config.max_megabytes, config.max_megapixels)
    with (
        _listening(config.host, config.port) as listening,
        Workplace(models, {**segmenters, "grabcut": GrabCut()}, limits, config.device) as workplace,
    ):
        host = f"[{config.host}]" if ":" in config.host else config.host
        address = f"http://{host}:{listening.getsockname()[1]}"
        print(f"{address} is ready; its HTTP interface is described at {address}/docs; Ctrl-C ends it", flush=True)
        if config.open:
            webbrowser.open(address)
        for name in _ENDS:  # the server passes the signal on to this handler, so that the uploads are removed
            signal.signal(name, _end)
        uvicorn.Server(
            uvicorn.Config(create_app(workplace, [host]), log_level="warning", timeout_graceful_shutdown=2)
        ).run([listening])


def _listening(host: str, port: int) -> socket.socket:
    """A socket at this address."""
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        if ipaddress.ip_address(address[0]).is_unspecified:
            raise ConfigError(f"--host {host} is every address; name the one by which this machine shall be called")
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        busy = error.errno == errno.EADDRINUSE
        reason = "is in use" if busy else f"cannot be listened at ({error})"
        raise InpaintzooError(f"port {port} of {host} {reason}; give another --port or --host") from error


def _end(number: int, frame: object) -> None:
    raise KeyboardInterrupt
