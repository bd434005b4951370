"""inpaintzoo: a Lightning model zoo for image inpainting."""

__version__ = "0.1.0"
