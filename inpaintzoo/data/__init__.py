"""Pictures, masks and the data modules that pair them."""

from typing import TYPE_CHECKING

from inpaintzoo.lazy import exports_of

if TYPE_CHECKING:
    from inpaintzoo.data.exports import *  # noqa: F403
else:
    __getattr__, __dir__ = exports_of("inpaintzoo.data.exports")
