"""The routes: pages and pictures for the browser, and fill, segment, remove and models for anyone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import io
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import jinja2
import numpy as np
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from PIL import Image
from starlette.exceptions import HTTPException

from inpaintzoo.app.guard import Guard, refusal
from inpaintzoo.app.line import Busy, Cancelled, Job, NameTaken
from inpaintzoo.app.workplace import Kept, NotKept, TooLarge, Workplace
from inpaintzoo.data.masks.reading import PolarityChoice
from inpaintzoo.fills import DEFAULT_FILL
from inpaintzoo.removal import Instance, Removal
from inpaintzoo.removal.prompts import read_prompts
from inpaintzoo.types import ConfigError, DataError, InpaintzooError, WeightsError
from inpaintzoo.version import __version__

T = TypeVar("T")
PAGE = Path(__file__).with_name("page")
# The first that fits counts.
_STATUS: dict[type[Exception], int] = {
    TooLarge: 413,
    NotKept: 404,
    Cancelled: 409,
    NameTaken: 409,
    Busy: 503,
    ConfigError: 400,
    DataError: 422,
    WeightsError: 503,
    InpaintzooError: 422,
}

_Image = Annotated[UploadFile | None, File(description="the picture; or give `picture`")]
_Picture = Annotated[str, Form(description="instead of `image`: the id of a picture that is kept already")]
_Mask = Annotated[UploadFile | None, File(description="a picture of the mask")]
_At = Annotated[list[str], Form(description="X,Y: a pixel on an object; X,Y+X,Y: several on one; may be repeated")]
_Away = Annotated[list[str], Form(description="X,Y: a pixel that is not on the object; may be repeated")]
_Box = Annotated[list[str], Form(description="LEFT,TOP,RIGHT,BOTTOM: a box around an object; may be repeated")]
_Classes = Annotated[list[str], Form(alias="class", description="a class, such as person: all its objects")]
_Segmenter = Annotated[str, Form(description="a name of /models; the first of them if not given")]
_Grow = Annotated[int | None, Form(ge=0, le=10_000, description="pixels by which objects are grown")]
_Model = Annotated[str, Form(description="a model or fill of /models")]
_Samples = Annotated[int, Form(description="fills, by a stochastic model")]
_Seed = Annotated[int, Form(ge=0, le=2**63 - 1, description="seed of stochastic fills")]
_Format = Annotated[str | None, Form(description="file format, such as png; the picture's own if not given")]
_JobName = Annotated[
    str, Form(max_length=64, description="a name of yours, to ask about and cancel the job at /jobs/NAME")
]
_Answer = Annotated[Literal["file", "json"], Form(description="file: the bytes; json: ids of pictures, and notes")]


def create_app(workplace: Workplace, hosts: Iterable[str] = ()) -> FastAPI:
    """The server's application.

    Args:
        workplace: what it works with; the caller closes it.
        hosts: names by which the server may be called in addition to the local ones.
    """
    app = FastAPI(title="inpaintzoo", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, hosts=hosts, megabytes=workplace.limits.megabytes)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    _add_errors(app)
    _add_pages(app)
    _add_pictures(app, workplace)
    _add_work(app, workplace)
    return app


def _add_errors(app: FastAPI) -> None:
    """Every error becomes `{"error": "a sentence"}`; `Guard` answers for those that nobody expects."""

    @app.exception_handler(InpaintzooError)
    def told(request: Request, error: InpaintzooError) -> JSONResponse:
        return refusal(next(status for kind, status in _STATUS.items() if isinstance(error, kind)), str(error))

    @app.exception_handler(RequestValidationError)
    def wrong_request(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return refusal(400, f"{first['loc'][-1]}: {first['msg']}, got {str(first.get('input'))[:100]!r}")

    @app.exception_handler(HTTPException)
    def no_route(request: Request, error: HTTPException) -> JSONResponse:
        reasons = {
            404: f"there is no {request.url.path}; see /docs",
            405: f"{request.url.path} has no {request.method}",
        }
        return refusal(error.status_code, reasons.get(error.status_code, str(error.detail)))


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string((PAGE / "docs.html").read_text())
        return HTMLResponse(template.render(schema=app.openapi(), host=request.url.netloc))


def _add_pictures(app: FastAPI, workplace: Workplace) -> None:
    @app.post("/pictures")
    def keep(image: Annotated[UploadFile, File(description="the picture")]) -> dict[str, Any]:
        """Keep a picture, to work on it several times."""
        return _told(workplace.keep(image.file, image.filename or ""))

    @app.get("/pictures/{id}/file")
    def file(id: str) -> FileResponse:
        """A kept picture's file: an upload as it came, a fill as it was written."""
        return _file(workplace.picture(id))

    @app.get("/pictures/{id}/shown")
    def shown(id: str) -> FileResponse:
        """The same picture in a format that a browser shows."""
        return FileResponse(workplace.shown(id))


def _add_work(app: FastAPI, workplace: Workplace) -> None:
    default_segmenter = next(iter(workplace.segmenters))

    def given(image: UploadFile | None, picture: str) -> Kept:
        if image is not None:
            return workplace.keep(image.file, image.filename or "")
        if not picture:
            raise ConfigError("no picture: give image, a file, or picture, the id of one that is kept")
        return workplace.picture(picture)

    async def in_line(request: Request, name: str, work: Callable[[Job], T]) -> T:
        return await workplace.line.do(name or secrets.token_urlsafe(8), work, request.is_disconnected)

    def answered(pictures: list[Kept], notes: list[str], answer: str) -> Response:
        if answer == "file":
            return _file(pictures[0])
        return JSONResponse({"pictures": [_told(each) for each in pictures], "notes": notes})

    @app.get("/models")
    def models() -> dict[str, Any]:
        """What there is: models and fills, segmenters, and limits."""
        limits = workplace.limits
        return {
            "models": workplace.models(),
            "segmenters": [
                {"name": name, "finds_all": segmenter.finds_all} for name, segmenter in workplace.segmenters.items()
            ],
            "limits": {"megabytes": limits.megabytes, "megapixels": limits.megapixels, "samples": limits.samples},
        }

    @app.post("/fill")
    async def fill(
        request: Request,
        image: _Image = None,
        picture: _Picture = "",
        mask: _Mask = None,
        model: _Model = DEFAULT_FILL,
        samples: _Samples = 1,
        seed: _Seed = 0,
        grow: Annotated[int, Form(ge=0, le=10_000, description="pixels by which the hole is grown")] = 0,
        polarity: Annotated[PolarityChoice, Form(description="the colour of the hole; auto: the rarer one")] = "auto",
        format: _Format = None,
        job: _JobName = "",
        answer: _Answer = "file",
    ) -> Response:
        """Fill the hole of a picture; without a mask, its transparent pixels."""
        _check_answer(samples, answer)
        kept = await asyncio.to_thread(given, image, picture)
        hole = None if mask is None else await asyncio.to_thread(workplace.keep, mask.file, mask.filename or "mask")
        work = functools.partial(
            workplace.fill,
            picture=kept,
            mask=hole,
            model=model,
            samples=samples,
            seed=seed,
            grow=grow,
            polarity=polarity,
            format=format,
        )
        return answered(*await in_line(request, job, work), answer)

    @app.post("/segment")
    def segment(
        image: _Image = None,
        picture: _Picture = "",
        at: _At = [],  # noqa: B006  (FastAPI copies it)
        away: _Away = [],  # noqa: B006
        box: _Box = [],  # noqa: B006
        classes: _Classes = [],  # noqa: B006
        segmenter: _Segmenter = default_segmenter,
        grow: _Grow = None,
        answer: _Answer = "file",
    ) -> Response:
        """The objects under clicks and in boxes, or all that the segmenter finds by itself.

        The file is the hole, white on black: the objects, grown. In JSON, objects are as they are and `hole` is grown.
        """
        remover, opened = workplace.open(given(image, picture), segmenter)
        prompts = read_prompts(at, away, box)
        if not prompts and not classes:
            if not opened.segmentation.instances:
                raise ConfigError(f"nothing to look for: give at, box or class; {segmenter} finds no objects by itself")
            removal = Removal(np.zeros(opened.picture.size, bool), tuple(opened.segmentation.instances), None, ())
        else:
            removal = remover.select(opened, *prompts, classes=classes, grow=grow)
        if answer == "file":
            return Response(_png(removal.hole), media_type="image/png")
        objects = [_about(each) for each in removal.instances]
        return JSONResponse({"objects": objects, "hole": _text(removal.hole), "notes": removal.notes})

    @app.post("/remove")
    async def remove(
        request: Request,
        image: _Image = None,
        picture: _Picture = "",
        at: _At = [],  # noqa: B006
        away: _Away = [],  # noqa: B006
        box: _Box = [],  # noqa: B006
        classes: _Classes = [],  # noqa: B006
        mask: _Mask = None,
        segmenter: _Segmenter = default_segmenter,
        grow: _Grow = None,
        over_neighbours: Annotated[bool, Form(description="let grown objects reach into other instances")] = False,
        guide_away: Annotated[list[str], Form(description="a class that the fill must not copy from")] = [],  # noqa: B006
        model: _Model = DEFAULT_FILL,
        samples: _Samples = 1,
        seed: _Seed = 0,
        format: _Format = None,
        job: _JobName = "",
        answer: _Answer = "file",
    ) -> Response:
        """Remove objects from a picture, with a mask drawn by hand in addition."""
        _check_answer(samples, answer)
        kept = await asyncio.to_thread(given, image, picture)
        drawn = None if mask is None else await asyncio.to_thread(workplace.keep, mask.file, mask.filename or "mask")

        def work(job: Job) -> tuple[list[Kept], list[str]]:
            remover, opened = workplace.open(kept, segmenter)
            removal = remover.select(
                opened,
                *read_prompts(at, away, box),
                classes=classes,
                mask=None if drawn is None else drawn.file,
                grow=grow,
                keep_neighbours=not over_neighbours,
                guide_away=guide_away,
            )
            job.check()
            pictures, notes = workplace.fill(
                job,
                kept,
                removal.hole,
                model,
                samples=samples,
                seed=seed,
                format=format,
                guidance=removal.guidance,
            )
            return pictures, [*removal.notes, *notes]

        return answered(*await in_line(request, job, work), answer)

    @app.get("/jobs/{name}")
    def state(name: str) -> dict[str, Any]:
        """How far a fill is."""
        with _known(name):
            return workplace.line.state(name)

    @app.delete("/jobs/{name}")
    def cancel(name: str) -> dict[str, str]:
        """Cancel a fill."""
        with _known(name):
            workplace.line.jobs[name].cancelled = True
        return {"state": "cancelled"}


@contextlib.contextmanager
def _known(name: str) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise NotKept(f"there is no job {name[:64]!r} any more") from error


def _check_answer(samples: int, answer: str) -> None:
    if samples > 1 and answer == "file":
        raise ConfigError(f"{samples} samples are more than one file; add answer=json")


def _told(kept: Kept) -> dict[str, Any]:
    return {
        "id": kept.id,
        "name": kept.name,
        "format": kept.format,
        "width": kept.width,
        "height": kept.height,
        "file": f"/pictures/{kept.id}/file",
        "shown": f"/pictures/{kept.id}/shown",
    }


def _file(kept: Kept) -> FileResponse:
    return FileResponse(kept.file, filename=kept.name)


def _about(instance: Instance) -> dict[str, Any]:
    top, left, bottom, right = instance.box
    return {
        "name": instance.name,
        "score": round(instance.score, 3),
        "box": [left, top, right, bottom],
        "mask": _text(instance.mask[instance.box.slices]),
    }


def _png(mask: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(mask).save(data, "PNG", compress_level=1)
    return data.getvalue()


def _text(mask: np.ndarray) -> str:
    return base64.b64encode(_png(mask)).decode()
